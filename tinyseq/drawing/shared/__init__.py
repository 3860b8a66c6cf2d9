"""What is handed from room to room: subjects, views and scenes, and the words and colours for them."""
