"""The picture as one HTML file: the grid's SVG with pan, zoom, search and a card of details. No network, no library."""

from __future__ import annotations

import re
from html import escape

from tinyseq.drawing.scene import Scene
from tinyseq.drawing.svg import to_svg
from tinyseq.drawing.text import clean

_STYLE = """
:root{color-scheme:light dark;--back:#f4f6f8;--ink:#1b1f24;--line:#c9d1d8;--card:#fff}
@media (prefers-color-scheme:dark){:root{--back:#0f1114;--ink:#eef2f5;--line:#3a424a;--card:#1d2227}}
*{box-sizing:border-box}body{margin:0;font:14px Helvetica,Arial,sans-serif;background:var(--back);color:var(--ink);
height:100vh;display:flex;flex-direction:column}
header{display:flex;flex-wrap:wrap;gap:.6em;align-items:center;padding:.5em .8em;border-bottom:1px solid var(--line);
background:var(--card)}h1{font-size:15px;margin:0 .5em 0 0;unicode-bidi:isolate}
input,button{font:inherit;color:inherit;background:var(--back);border:1px solid var(--line);border-radius:5px;
padding:.25em .6em}button{cursor:pointer}:focus-visible{outline:2px solid #0072b2}
#stage{flex:1;overflow:hidden;position:relative;cursor:grab;touch-action:none}#stage.drag{cursor:grabbing}
#stage svg{transform-origin:0 0;position:absolute;left:0;top:0}
#card{position:absolute;right:12px;top:12px;max-width:24em;background:var(--card);border:1px solid var(--line);
border-radius:8px;padding:.6em .8em;white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:plaintext;font-size:12px}
#card:empty{display:none}.item{cursor:pointer}.item.hit>rect{stroke:#d55e00!important;stroke-width:3px!important}
.dim .item:not(.hit):not(.near),.dim .edge:not(.near){opacity:.22}.edge.near>.wire{stroke-width:3px}
#count{min-width:6em}footer{font-size:12px;padding:.35em .8em;border-top:1px solid var(--line);background:var(--card)}
"""

# Everything that a name can reach is set through textContent: a name is text, whatever it holds.
_SCRIPT = """
"use strict";
const stage=document.getElementById("stage"),svg=stage.querySelector("svg"),card=document.getElementById("card"),
find=document.getElementById("find"),count=document.getElementById("count");
const items=[...svg.querySelectorAll(".item")],edges=[...svg.querySelectorAll(".edge")];
const wide=svg.viewBox.baseVal.width,tall=svg.viewBox.baseVal.height;
let x=0,y=0,k=1;
const still=()=>{svg.style.transform=`translate(${x}px,${y}px) scale(${k})`};
function fit(){k=Math.min(stage.clientWidth/wide,stage.clientHeight/tall,2);x=(stage.clientWidth-wide*k)/2;
y=(stage.clientHeight-tall*k)/2;still()}
function zoom(f,cx=stage.clientWidth/2,cy=stage.clientHeight/2){const n=Math.min(Math.max(k*f,.02),20);
x=cx-(cx-x)*n/k;y=cy-(cy-y)*n/k;k=n;still()}
stage.addEventListener("wheel",e=>{e.preventDefault();const r=stage.getBoundingClientRect();
zoom(Math.exp(-e.deltaY*.0015),e.clientX-r.left,e.clientY-r.top)},{passive:false});
let from=null;
stage.addEventListener("pointerdown",e=>{from=[e.clientX-x,e.clientY-y];stage.classList.add("drag")});
addEventListener("pointermove",e=>{if(from){x=e.clientX-from[0];y=e.clientY-from[1];still()}});
addEventListener("pointerup",()=>{from=null;stage.classList.remove("drag")});
const about=g=>{const t=g.querySelector("title");return t?t.textContent:""};
function mark(hits){const ids=new Set(hits.map(g=>g.id)),near=new Set();
edges.forEach(e=>{const on=ids.has(e.dataset.from)||ids.has(e.dataset.to);e.classList.toggle("near",on&&ids.size>0);
if(on){near.add(e.dataset.from);near.add(e.dataset.to)}});
items.forEach(g=>{g.classList.toggle("hit",ids.has(g.id));g.classList.toggle("near",near.has(g.id))});
svg.classList.toggle("dim",hits.length>0)}
function choose(g){mark([g]);card.textContent=about(g);g.focus({preventScroll:true})}
function clear(){mark([]);card.textContent="";count.textContent="";find.value=""}
items.forEach(g=>{g.setAttribute("tabindex","0");g.setAttribute("role","button");g.setAttribute("aria-label",about(g));
g.addEventListener("click",()=>choose(g));g.addEventListener("focus",()=>{card.textContent=about(g)})});
const texts=items.map(g=>(g.textContent||"").toLowerCase());
find.addEventListener("input",()=>{const q=find.value.trim().toLowerCase();
const hits=q?items.filter((g,i)=>texts[i].includes(q)):[];mark(hits);count.textContent=q?hits.length+" found":""});
find.addEventListener("keydown",e=>{if(e.key==="Enter"){const g=svg.querySelector(".hit");if(g){center(g);
card.textContent=about(g)}}});
function center(g){const b=g.getBBox();k=Math.max(k,1);x=stage.clientWidth/2-(b.x+b.width/2)*k;
y=stage.clientHeight/2-(b.y+b.height/2)*k;still()}
document.querySelectorAll("button").forEach(b=>b.addEventListener("click",()=>({in:()=>zoom(1.25),out:()=>zoom(.8),
fit})[b.dataset.do]()));
addEventListener("keydown",e=>{if(e.target===find){if(e.key==="Escape"){clear();find.blur()}return}
const f={"+":()=>zoom(1.25),"=":()=>zoom(1.25),"-":()=>zoom(.8),"0":fit,Escape:clear,
ArrowLeft:()=>{x+=60;still()},ArrowRight:()=>{x-=60;still()},ArrowUp:()=>{y+=60;still()},ArrowDown:()=>{y-=60;still()},
"/":()=>find.focus()}[e.key];if(f){e.preventDefault();f()}
if(e.key==="Enter"&&document.activeElement.classList.contains("item"))choose(document.activeElement)});
addEventListener("resize",fit);fit();
"""


_KEYS = "drag to move, wheel or + − to zoom, 0 fits, / searches, Tab walks the nodes, Esc clears"


def to_html(scene: Scene) -> str:
    """Return a self-contained page."""
    title = escape(clean(scene.view.title or "Computational graph", 120))
    notes = escape("; ".join(clean(note) for note in scene.view.notes))
    svg = re.sub(r"\n+", "\n", to_svg(scene))
    # The policy stands even if a name found a way around the escapes: nothing is loaded, and no handler in markup runs.
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{}'"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy.format(_digest())}">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title><style>{_STYLE}</style></head><body>'
        f'<header><h1>{title}</h1><label>Search <input id="find" type="search" placeholder="/"></label>'
        '<output id="count" aria-live="polite"></output><button data-do="in" aria-label="zoom in">+</button>'
        '<button data-do="out" aria-label="zoom out">−</button><button data-do="fit">fit</button></header>'
        f'<main id="stage">{svg}<aside id="card" aria-live="polite"></aside></main>'
        f"<footer>{_KEYS}{'. ' + notes if notes else ''}</footer>"
        f"<script>{_SCRIPT}</script></body></html>\n"
    )


def _digest() -> str:
    import base64
    import hashlib

    return base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
