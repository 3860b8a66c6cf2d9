"""How a picture is written: SVG, DOT, raster, HTML, JSON."""
