// The planes: cut from the volumes in any direction, labels as contours, moved by wheel, keys, slider and pointer.

const count = [...meta.shape].reverse(); // x, y, z
const stride = [1, count[0], count[0] * count[1]];
const START = { level: 250, width: 1000, opacity: 0, contours: true };
const state = { at: [...meta.valve_voxel], ...START, hidden: new Set() };
const STEP = 0.6; // of the images, mm
const REACH = 60; // how far the heart's planes may be moved along their normal, mm
const colours = new Map(meta.structures.map(({ label, colour }) => [label, colour]));

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const toHU = (grey) => meta.window_hu[0] + (grey * (meta.window_hu[1] - meta.window_hu[0])) / 255;
const toMm = (axis, index) => meta.origin_mm[axis] + index * meta.spacing_mm;
const toIndex = (mm) => mm.map((value, axis) => (value - meta.origin_mm[axis]) / meta.spacing_mm);
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];

function greyTable() {
  const bottom = state.level - state.width / 2;
  return Uint8ClampedArray.from({ length: 256 }, (_, grey) => ((toHU(grey) - bottom) / state.width) * 255);
}

// Fills the image around a point (voxels); right and below are a pixel's steps in voxels. Outside the box it is black.
function cut(volumes, image, middle, right, below) {
  const { width, height, data } = image, { scan, labels } = volumes, grey = greyTable();
  const [nx, ny, nz] = count, [, sy, sz] = stride;
  const seen = new Uint8Array(width * height);
  const first = middle.map((value, axis) => value - (right[axis] * (width - 1) + below[axis] * (height - 1)) / 2);
  for (let row = 0, i = 0; row < height; row++) {
    let x = first[0] + row * below[0], y = first[1] + row * below[1], z = first[2] + row * below[2];
    for (let column = 0; column < width; column++, i++, x += right[0], y += right[1], z += right[2]) {
      let value = 0;
      if (x > -0.5 && y > -0.5 && z > -0.5 && x < nx - 0.5 && y < ny - 0.5 && z < nz - 0.5) {
        const x0 = Math.min(Math.max(Math.floor(x), 0), nx - 2), y0 = Math.min(Math.max(Math.floor(y), 0), ny - 2), z0 = Math.min(Math.max(Math.floor(z), 0), nz - 2);
        const u = Math.min(Math.max(x - x0, 0), 1), v = Math.min(Math.max(y - y0, 0), 1), w = Math.min(Math.max(z - z0, 0), 1);
        const at = x0 + y0 * sy + z0 * sz, up = at + sz;
        const low = (scan[at] * (1 - u) + scan[at + 1] * u) * (1 - v) + (scan[at + sy] * (1 - u) + scan[at + sy + 1] * u) * v;
        const high = (scan[up] * (1 - u) + scan[up + 1] * u) * (1 - v) + (scan[up + sy] * (1 - u) + scan[up + sy + 1] * u) * v;
        value = grey[Math.round(low * (1 - w) + high * w)];
        seen[i] = labels[at + (u < 0.5 ? 0 : 1) + (v < 0.5 ? 0 : sy) + (w < 0.5 ? 0 : sz)];
      }
      data[4 * i] = data[4 * i + 1] = data[4 * i + 2] = value;
      data[4 * i + 3] = 255;
    }
  }
  return seen;
}

// A structure's contour is its own outermost pixels.
function tint({ width, height, data }, seen) {
  for (let row = 0, i = 0; row < height; row++) {
    for (let column = 0; column < width; column++, i++) {
      const label = seen[i];
      if (!label || state.hidden.has(label)) continue;
      let share = state.opacity;
      if (state.contours) {
        const inner = (column === 0 || seen[i - 1] === label) && (column === width - 1 || seen[i + 1] === label) &&
          (row === 0 || seen[i - width] === label) && (row === height - 1 || seen[i + width] === label);
        if (!inner) share = 1;
      }
      if (!share) continue;
      const colour = colours.get(label);
      for (let c = 0; c < 3; c++) data[4 * i + c] += share * (colour[c] - data[4 * i + c]);
    }
  }
}

function makePlane(plane, volumes, changed) {
  const panel = document.getElementById(plane.id);
  const canvas = panel.querySelector("canvas"), slider = panel.querySelector("input"), place = panel.querySelector("output");
  const small = document.createElement("canvas");
  const normal = cross(plane.across, plane.down), axis = plane.axis;
  let drawn = "", depth = 0;

  // The body's planes go through the cross, slice by slice; the heart's have a depth of their own, in mm.
  const limits = axis === null ? [-REACH, REACH] : [0, count[axis] - 1];
  const position = () => (axis === null ? depth : state.at[axis]);
  const away = () => (axis === null ? depth : dot(state.at.map((value, a) => toMm(a, value) - plane.centre_mm[a]), normal));
  const fit = () => Math.min(canvas.width, canvas.height) / plane.side_mm; // pixels of the canvas a mm
  const middle = () => plane.centre_mm.map((value, a) => value + away() * normal[a]);

  function draw() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
    if (!width || !height) return;
    const key = [width, height, position(), state.at, state.level, state.width, state.opacity, state.contours, ...state.hidden].join();
    if (key === drawn) return;
    drawn = key;
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const scale = fit(), step = Math.max(STEP, 1 / scale);
    [small.width, small.height] = [width, height].map((size) => Math.ceil(size / scale / step));
    const image = new ImageData(small.width, small.height);
    const [right, below] = [plane.across, plane.down].map((towards) => towards.map((value) => (value * step) / meta.spacing_mm));
    tint(image, cut(volumes, image, toIndex(middle()), right, below));
    small.getContext("2d").putImageData(image, 0, 0);
    const pen = canvas.getContext("2d"), pixel = step * scale;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(small, (width - small.width * pixel) / 2, (height - small.height * pixel) / 2, small.width * pixel, small.height * pixel);
    drawMarks(pen, plane, scale, crossAt());
    slider.value = position();
    const words = axis === null ? `${depth > 0 ? "+" : ""}${depth} mm` : `slice ${position() + 1} of ${count[axis]}, ${"xyz"[axis]} ${toMm(axis, position()).toFixed(1)} mm`;
    place.textContent = words;
    canvas.setAttribute("aria-valuenow", position());
    canvas.setAttribute("aria-valuetext", words);
  }

  // Where the cross lies on the canvas, or null where the plane does not hold it.
  function crossAt() {
    const from = middle(), to = state.at.map((value, a) => toMm(a, value) - from[a]), scale = fit();
    if (Math.abs(dot(to, normal)) > meta.spacing_mm) return null;
    return [canvas.width / 2 + dot(to, plane.across) * scale, canvas.height / 2 + dot(to, plane.down) * scale];
  }

  function step(by) {
    const there = clamp(position() + by, ...limits);
    if (axis === null) depth = there;
    else state.at[axis] = there;
    changed();
  }

  let turned = 0;
  canvas.addEventListener("wheel", (event) => {
    if (event.ctrlKey) return; // the browser's own zoom
    event.preventDefault();
    // A notch of a mouse is one slice, whatever the browser calls it; a trackpad's small moves add up.
    turned += clamp(event.deltaY / [50, 3, 1][event.deltaMode], -1, 1);
    const whole = Math.trunc(turned);
    turned -= whole;
    if (whole) step(-whole);
  }, { passive: false });

  const KEYS = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10, Home: -Infinity, End: Infinity };
  canvas.addEventListener("keydown", (event) => {
    if (!(event.key in KEYS)) return;
    event.preventDefault();
    step(KEYS[event.key]);
  });
  slider.addEventListener("input", () => step(Number(slider.value) - position()));
  panel.querySelector("h2 button").addEventListener("click", () => {
    const alone = panel.parentElement.classList.toggle("one");
    panel.classList.toggle("shown", alone);
  });

  function look(event) {
    const box = canvas.getBoundingClientRect(), scale = fit() * (box.width / canvas.width);
    const right = (event.clientX - box.left - box.width / 2) / scale, below = (event.clientY - box.top - box.height / 2) / scale;
    const there = middle().map((value, a) => value + right * plane.across[a] + below * plane.down[a]);
    state.at = toIndex(there).map((value, a) => (a === axis ? state.at[a] : clamp(Math.round(value), 0, count[a] - 1)));
    changed();
  }

  // The left button moves the cross, the right one changes the window; a tap moves the cross, and touch still scrolls.
  canvas.addEventListener("pointerdown", (event) => {
    canvas.focus({ preventScroll: true });
    if (event.pointerType !== "touch") canvas.setPointerCapture(event.pointerId);
    if (event.button === 0) look(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    if (event.buttons & 1) look(event);
    else if (event.buttons & 2) {
      setWindow(state.level + 2 * event.movementY, state.width + 2 * event.movementX);
      changed();
    }
  });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());

  [slider.min, slider.max] = limits;
  [["min", limits[0]], ["max", limits[1]]].forEach(([name, value]) => canvas.setAttribute(`aria-value${name}`, value));
  new ResizeObserver(draw).observe(canvas);
  return { draw, reset: () => (depth = 0) };
}

function setWindow(level, width) {
  state.level = clamp(Math.round(level), ...meta.window_hu);
  state.width = clamp(Math.round(width), 20, meta.window_hu[1] - meta.window_hu[0]);
}

function drawMarks(pen, plane, scale, at) {
  const ratio = window.devicePixelRatio || 1, { width, height } = pen.canvas, gap = 10 * ratio;
  if (at) {
    const [x, y] = at;
    pen.lineWidth = ratio;
    pen.strokeStyle = "rgba(255, 255, 255, 0.55)";
    pen.beginPath();
    for (const [x0, y0, x1, y1] of [[0, y, x - gap, y], [x + gap, y, width, y], [x, 0, x, y - gap], [x, y + gap, x, height]]) {
      if (x1 > x0 || y1 > y0) {
        pen.moveTo(x0, y0);
        pen.lineTo(x1, y1);
      }
    }
    pen.stroke();
  }
  pen.lineWidth = 3 * ratio;
  pen.strokeStyle = "#000";
  pen.fillStyle = "#fff";
  pen.lineJoin = "round";
  const write = (text, at, level, font, align, baseline) => {
    pen.font = `${font * ratio}px system-ui, sans-serif`;
    [pen.textAlign, pen.textBaseline] = [align, baseline];
    pen.strokeText(text, at, level);
    pen.fillText(text, at, level);
  };
  const edge = 6 * ratio, [toLeft, toRight, above, below] = plane.letters;
  write(toLeft, edge, height / 2, 16, "left", "middle");
  write(toRight, width - edge, height / 2, 16, "right", "middle");
  write(above, width / 2, edge, 16, "center", "top");
  write(below, width / 2, height - edge, 16, "center", "bottom");
  const cm = [5, 2, 1].find((length) => length === 1 || 10 * length * scale < 0.4 * width); // clear of the letter below
  const bar = 10 * cm * scale, base = height - 10 * ratio;
  pen.fillRect(edge, base, bar, 2 * ratio);
  write(`${cm} cm`, edge, base - 3 * ratio, 12, "left", "bottom");
}
