// The three planes: cut from the volumes, tinted by the labels, moved by wheel, keys, slider and pointer.

const count = [...meta.shape].reverse(); // x, y, z
const stride = [1, count[0], count[0] * count[1]];
const PLANES = [
  { name: "Axial", normal: 2, across: 0, down: 1, flipped: false, letters: ["R", "L", "A", "P"] },
  { name: "Coronal", normal: 1, across: 0, down: 2, flipped: true, letters: ["R", "L", "H", "F"] },
  { name: "Sagittal", normal: 0, across: 1, down: 2, flipped: true, letters: ["A", "P", "H", "F"] },
];
const START = { level: 250, width: 1000, opacity: 0.45 };
const state = { at: [...meta.valve_voxel], ...START, hidden: new Set() };
const longest = Math.max(...count);
const colours = new Map(meta.structures.map(({ label, colour }) => [label, colour]));

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const toHU = (grey) => meta.window_hu[0] + (grey * (meta.window_hu[1] - meta.window_hu[0])) / 255;
const toMm = (axis, index) => meta.origin_mm[axis] + index * meta.spacing_mm;

function greyTable() {
  const bottom = state.level - state.width / 2;
  return Uint8ClampedArray.from({ length: 256 }, (_, grey) => ((toHU(grey) - bottom) / state.width) * 255);
}

// One image pixel per voxel; the outline of a structure is its own outermost voxels, drawn stronger.
function paint(plane, volumes, image) {
  const { scan, labels } = volumes;
  const columns = count[plane.across], rows = count[plane.down];
  const right = stride[plane.across], below = stride[plane.down];
  const grey = greyTable(), pixels = image.data;
  for (let row = 0, to = 0; row < rows; row++) {
    const level = plane.flipped ? rows - 1 - row : row;
    let from = state.at[plane.normal] * stride[plane.normal] + level * below;
    for (let column = 0; column < columns; column++, from += right, to += 4) {
      const value = grey[scan[from]], label = labels[from];
      let share = label && !state.hidden.has(label) ? state.opacity : 0;
      if (share) {
        const inner =
          (column === 0 || labels[from - right] === label) && (column === columns - 1 || labels[from + right] === label) &&
          (level === 0 || labels[from - below] === label) && (level === rows - 1 || labels[from + below] === label);
        if (!inner) share = Math.min(1, 2 * share);
      }
      const tint = share ? colours.get(label) : [0, 0, 0];
      for (let c = 0; c < 3; c++) pixels[to + c] = value + share * (tint[c] - value);
      pixels[to + 3] = 255;
    }
  }
}

function makePlane(plane, volumes, changed) {
  const panel = document.getElementById(plane.name.toLowerCase());
  const canvas = panel.querySelector("canvas"), slider = panel.querySelector("input"), place = panel.querySelector("output");
  const columns = count[plane.across], rows = count[plane.down];
  const small = document.createElement("canvas");
  [small.width, small.height] = [columns, rows];
  const image = new ImageData(columns, rows);
  slider.max = count[plane.normal] - 1;

  const frame = () => {
    const scale = canvas.width / longest; // one scale for all planes
    return { scale, left: (canvas.width - columns * scale) / 2, top: (canvas.height - rows * scale) / 2 };
  };

  function draw() {
    const side = Math.round(canvas.clientWidth * (window.devicePixelRatio || 1));
    if (!side) return;
    if (canvas.width !== side) canvas.width = canvas.height = side;
    paint(plane, volumes, image);
    small.getContext("2d").putImageData(image, 0, 0);
    const pen = canvas.getContext("2d"), { scale, left, top } = frame();
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.imageSmoothingQuality = "high";
    pen.drawImage(small, left, top, columns * scale, rows * scale);
    drawMarks(pen, plane, { scale, left, top, columns, rows });
    slider.value = state.at[plane.normal];
    const words = `slice ${state.at[plane.normal] + 1} of ${count[plane.normal]}`;
    const mm = `${"xyz"[plane.normal]} ${toMm(plane.normal, state.at[plane.normal]).toFixed(1)} mm`;
    place.textContent = `${words}, ${mm}`;
    canvas.setAttribute("aria-valuenow", state.at[plane.normal]);
    canvas.setAttribute("aria-valuetext", `${words}, ${mm}`);
  }

  function step(by) {
    state.at[plane.normal] = clamp(state.at[plane.normal] + by, 0, count[plane.normal] - 1);
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
  slider.addEventListener("input", () => step(Number(slider.value) - state.at[plane.normal]));

  function look(event) {
    const box = canvas.getBoundingClientRect(), { scale, left, top } = frame();
    const column = Math.floor((((event.clientX - box.left) / box.width) * canvas.width - left) / scale);
    const row = Math.floor((((event.clientY - box.top) / box.height) * canvas.height - top) / scale);
    const level = plane.flipped ? rows - 1 - row : row;
    state.at[plane.across] = clamp(column, 0, columns - 1);
    state.at[plane.down] = clamp(level, 0, rows - 1);
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

  const limits = { min: 0, max: count[plane.normal] - 1 };
  for (const [name, value] of Object.entries(limits)) canvas.setAttribute(`aria-value${name}`, value);
  new ResizeObserver(draw).observe(canvas);
  return draw;
}

function setWindow(level, width) {
  state.level = clamp(Math.round(level), ...meta.window_hu);
  state.width = clamp(Math.round(width), 20, meta.window_hu[1] - meta.window_hu[0]);
}

function drawMarks(pen, plane, { scale, left, top, columns, rows }) {
  const ratio = window.devicePixelRatio || 1, size = pen.canvas.width;
  const column = state.at[plane.across], row = plane.flipped ? rows - 1 - state.at[plane.down] : state.at[plane.down];
  const x = left + (column + 0.5) * scale, y = top + (row + 0.5) * scale, gap = 10 * ratio;
  pen.lineWidth = ratio;
  pen.strokeStyle = "rgba(255, 255, 255, 0.55)";
  pen.beginPath();
  for (const [x0, y0, x1, y1] of [[left, y, x - gap, y], [x + gap, y, left + columns * scale, y], [x, top, x, y - gap], [x, y + gap, x, top + rows * scale]]) {
    if (x1 > x0 || y1 > y0) {
      pen.moveTo(x0, y0);
      pen.lineTo(x1, y1);
    }
  }
  pen.stroke();
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
  write(toLeft, edge, size / 2, 16, "left", "middle");
  write(toRight, size - edge, size / 2, 16, "right", "middle");
  write(above, size / 2, edge, 16, "center", "top");
  write(below, size / 2, size - edge, 16, "center", "bottom");
  const pixels = (10 / meta.spacing_mm) * scale, cm = 5 * pixels < 0.4 * size ? 5 : 2; // clear of the letter below
  const bar = cm * pixels, base = size - 10 * ratio;
  pen.fillRect(edge, base, bar, 2 * ratio);
  write(`${cm} cm`, edge, base - 3 * ratio, 12, "left", "bottom");
}
