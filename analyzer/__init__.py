"""Jobs over images and chains. Each plans first, runs then, and gives a frozen result that turns into JSON."""
