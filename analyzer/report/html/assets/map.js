"use strict";
// Draws the map of the disk. What there is to draw stands in #map-data; colours are those of the legend.
(() => {
  const data = JSON.parse(document.getElementById("map-data").textContent);
  const canvas = document.getElementById("map-canvas");
  const overview = document.getElementById("map-overview");
  const readout = document.getElementById("map-readout");
  const count = data.part.length;
  const depth = data.layers.length;
  const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  const GUTTER = 64, AXIS = 22, LEAST_SPAN = 4096;
  const lane = depth > 45 ? 360 / depth : Math.min(42, Math.floor(360 / depth));
  const height = Math.ceil(Math.max(2, depth) * lane) + AXIS;

  const start = new Float64Array(count + 1);
  for (let n = 0; n < count; n++) start[n + 1] = Math.min(start[n] + data.length[n] * data.grain, data.size);
  const kindOf = (n) => data.categories[data.part[n]][0];
  const layerOf = (n) => data.categories[data.part[n]][1];

  let from = 0, to = data.size, cursor = null;
  let colours = {}, kept = {};

  const size = (bytes) => {
    let unit = 0;
    while (bytes >= 1024 && unit < UNITS.length - 1) { bytes /= 1024; unit++; }
    return `${Number.isInteger(bytes) ? bytes : bytes.toFixed(1)} ${UNITS[unit]}`;
  };

  // The part that holds a byte of the disk.
  const partAt = (byte) => {
    let low = 0, high = count - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (start[middle] <= byte) low = middle; else high = middle - 1;
    }
    return low;
  };

  const readColours = () => {
    const root = getComputedStyle(document.documentElement);
    const named = (name) => root.getPropertyValue(name).trim();
    colours = { ink: named("--ink"), muted: named("--muted"), line: named("--line"), paper: named("--paper"),
                lost: named("--error"), link: named("--link"), layers: [] };
    for (const swatch of document.querySelectorAll(".swatch[data-layer]"))
      colours.layers[swatch.dataset.layer] = getComputedStyle(swatch).color;
  };

  const hatch = (context, kind, colour) => {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 6;
    const pen = tile.getContext("2d");
    pen.strokeStyle = pen.fillStyle = colour;
    if (kind === "trim") pen.fillRect(2, 2, 2, 2);
    else { pen.beginPath(); pen.moveTo(-1, 7); pen.lineTo(7, -1); pen.lineWidth = 1.5; pen.stroke(); }
    return context.createPattern(tile, "repeat");
  };

  const fillOf = (context, cache, n) => {
    const key = data.part[n];
    if (!(key in cache)) {
      const [kind, layer] = data.categories[key];
      const colour = colours.layers[layer];
      cache[key] = kind === "LOST" ? colours.lost : kind === "data" ? colour : hatch(context, kind, colour);
    }
    return cache[key];
  };

  const prepare = (element, tall) => {
    const wide = element.clientWidth || 600, ratio = window.devicePixelRatio || 1;
    element.width = Math.round(wide * ratio);
    element.height = Math.round(tall * ratio);
    element.style.height = `${tall}px`;
    const context = element.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = colours.paper;
    context.fillRect(0, 0, wide, tall);
    return [context, wide];
  };

  // Parts between two bytes as rectangles; lost ones last and never thin, so that nothing hides them. Of parts that
  // fall into one pixel of a line the first is drawn: there may be tens of thousands.
  const paint = (context, first, last, left, wide, top, tall) => {
    const scale = wide / (last - first), cache = {};
    for (const lost of [false, true]) {
      const drawn = {}, least = lost ? 3 : 1;
      for (let n = partAt(first); n < count && start[n] < last; n++) {
        const kind = kindOf(n);
        if (kind === "nothing" || (kind === "LOST") !== lost) continue;
        const x = Math.max(0, (start[n] - first) * scale), y = top(n);
        const end = Math.min(wide, (start[n + 1] - first) * scale);
        if (end <= drawn[y]) continue;
        drawn[y] = Math.max(Math.ceil(end), Math.floor(x) + 1);
        context.fillStyle = fillOf(context, cache, n);
        context.fillRect(left + x, y, Math.max(least, end - x), tall);
      }
    }
  };

  // What a canvas shows before anything that moves is drawn over it.
  const keep = (element) => {
    const copy = document.createElement("canvas");
    copy.width = element.width;
    copy.height = element.height;
    copy.getContext("2d").drawImage(element, 0, 0);
    return copy;
  };
  const bring = (element, copy) => {
    const context = element.getContext("2d");
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(copy, 0, 0);
    context.restore();
    return context;
  };

  const drawOverview = () => {
    if (!kept.overview) {
      const [context, wide] = prepare(overview, 18);
      paint(context, 0, data.size, 0, wide, () => 0, 18);
      kept.overview = keep(overview);
    }
    const context = bring(overview, kept.overview), wide = overview.clientWidth || 600;
    const x = from / data.size * wide, end = to / data.size * wide;
    context.lineWidth = 2;
    context.strokeStyle = colours.ink;
    context.strokeRect(Math.min(x + 1, wide - 4), 1, Math.max(3, end - x - 2), 16);
  };

  const drawAxis = (context, wide) => {
    const bottom = height - AXIS, room = Math.max(2, Math.floor(wide / 110));
    const step = 2 ** Math.ceil(Math.log2(Math.max(1, (to - from) / room)));
    context.fillStyle = colours.muted;
    context.strokeStyle = colours.line;
    context.lineWidth = 1;
    for (let byte = Math.ceil(from / step) * step; byte <= to; byte += step) {
      const x = GUTTER + (byte - from) / (to - from) * wide;
      context.beginPath(); context.moveTo(x, 0); context.lineTo(x, bottom + 4); context.stroke();
      const label = size(byte), half = context.measureText(label).width / 2;
      context.fillText(label, Math.min(Math.max(x - half, 2), GUTTER + wide - 2 * half - 2), height - 6);
    }
  };

  const drawLanes = (context, wide) => {
    const every = Math.ceil(14 / lane);
    for (let layer = 0; layer < depth; layer++) {
      const top = (depth - 1 - layer) * lane;
      context.strokeStyle = colours.line;
      if (lane >= 8) context.strokeRect(GUTTER, top + 0.5, wide, lane);
      const near = Math.min(layer, depth - 1 - layer);
      if (near > 0 && (layer % every || near < every)) continue;
      context.fillStyle = colours.muted;
      const name = depth === 1 ? "disk" : layer === 0 ? "0 base" : layer === depth - 1 ? `${layer} leaf` : `${layer}`;
      context.fillText(name, 6, Math.max(11, Math.min(height - AXIS - 2, top + lane / 2 + 4)));
    }
  };

  const drawCursor = () => {
    const context = bring(canvas, kept.map), wide = (canvas.clientWidth || 600) - GUTTER;
    if (cursor === null || cursor < from || cursor > to) return;
    context.fillStyle = colours.ink;
    context.fillRect(GUTTER + (cursor - from) / (to - from) * wide, 0, 1, height - AXIS);
  };

  const redraw = () => {
    kept.overview = null;
    draw();
  };

  const draw = () => {
    readColours();
    const [context, whole] = prepare(canvas, height);
    const wide = whole - GUTTER;
    context.font = "12px system-ui, 'DejaVu Sans', sans-serif";
    drawAxis(context, wide);
    drawLanes(context, wide);
    paint(context, from, to, GUTTER, wide, (n) => (depth - 1 - layerOf(n)) * lane + 1, Math.max(2, lane - 1));
    kept.map = keep(canvas);
    drawCursor();
    drawOverview();
    document.getElementById("map-view").textContent = to - from >= data.size
      ? `whole disk, ${size(data.size)}` : `${size(to - from)} from byte ${Math.floor(from)}`;
  };

  const tell = (byte) => {
    const n = partAt(byte), kind = kindOf(n), layer = layerOf(n);
    const range = `bytes ${start[n]} to ${start[n + 1] - 1} (${size(start[n + 1] - start[n])})`;
    const share = data.share ? data.share[n] : 100;
    const whose = kind === "nothing" ? "no layer holds it: zeros" : `${kind}, layer ${layer}: ${data.layers[layer]}`;
    const place = data.offset && kind === "data" ? `, at byte ${data.offset[n]} of that file` : "";
    readout.textContent = `${range}: ${share < 100 ? `mixed, ${share} % of it ` : ""}${whose}${place}`;
  };

  const look = (first, last) => {
    const span = Math.min(data.size, Math.max(Math.min(LEAST_SPAN, data.size), last - first));
    const middle = (first + last) / 2;
    from = Math.max(0, Math.min(data.size - span, middle - span / 2));
    to = from + span;
    canvas.dataset.from = from;
    canvas.dataset.to = to;
    draw();
  };
  const zoom = (factor, around) => look(around - (around - from) * factor, around + (to - around) * factor);
  const centre = () => (cursor !== null && cursor >= from && cursor <= to ? cursor : (from + to) / 2);
  const move = (share) => look(from + (to - from) * share, to + (to - from) * share);
  const byteAt = (event) => {
    const box = canvas.getBoundingClientRect();
    const share = (event.clientX - box.left - GUTTER) / Math.max(1, box.width - GUTTER);
    return Math.min(data.size - 1, Math.max(0, Math.floor(from + share * (to - from))));
  };
  const point = (byte) => { cursor = Math.min(data.size - 1, Math.max(0, Math.floor(byte))); tell(cursor); drawCursor(); };

  const actions = {
    in: () => zoom(0.5, centre()), out: () => zoom(2, centre()), left: () => move(-0.25), right: () => move(0.25),
    whole: () => look(0, data.size),
  };
  for (const button of document.querySelectorAll("[data-do]"))
    button.addEventListener("click", () => actions[button.dataset.do]());

  const keys = { "+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", 0: "whole", Home: "whole" };
  canvas.addEventListener("keydown", (event) => {
    if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    actions[keys[event.key]]();
    point((from + to) / 2);
  });
  canvas.addEventListener("wheel", (event) => {
    if (event.deltaY > 0 && to - from >= data.size) return;  // nothing is left to zoom out of: the page scrolls
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.25 : 0.8, byteAt(event));
  }, { passive: false });

  let dragged = null;
  canvas.addEventListener("pointerdown", (event) => {
    dragged = event.clientX;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointerup", () => { dragged = null; });
  canvas.addEventListener("pointermove", (event) => {
    if (dragged !== null) {
      const bytes = (dragged - event.clientX) / Math.max(1, canvas.clientWidth - GUTTER) * (to - from);
      dragged = event.clientX;
      look(from + bytes, to + bytes);
    }
    point(byteAt(event));
  });
  overview.addEventListener("click", (event) => {
    const box = overview.getBoundingClientRect();
    const byte = (event.clientX - box.left) / box.width * data.size;
    look(byte - (to - from) / 2, byte + (to - from) / 2);
  });

  document.getElementById("map-figure").hidden = false;
  look(0, data.size);
  new ResizeObserver(redraw).observe(canvas.parentElement);
  for (const query of ["(prefers-color-scheme: dark)", "print"])
    window.matchMedia(query).addEventListener("change", redraw);
  window.addEventListener("beforeprint", redraw);
})();
