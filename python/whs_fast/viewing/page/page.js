// The page: NiiVue shows scan and labels; tools change the labels through Editing; save sends what was changed.

import { cross, invert, unit, Viewer } from "/drawing.js";
import { Editing } from "/editing.js";
import { Oblique } from "/oblique.js";

const find = (id) => document.getElementById(id);
const token = location.hash.slice(1);
history.replaceState(null, "", "/"); // not in what is bookmarked or shown
const CAVITY = 3, AORTA = 5, VALVE_REACH = 25, VALVE_DEPTH = 20; // labels; mm around the valve that its plane divides
const PART_BYTES = 4 << 20; // of voxels that go to the graphics card between two images

async function ask(path, options = {}) {
  const answer = await fetch(path, { ...options, headers: { Authorization: `Bearer ${token}` } });
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error ?? `The program answered with status ${answer.status}.`);
  return answer;
}

function tell(text, bad = false) {
  find("told").textContent = text;
  find("told").classList.toggle("bad", bad);
}

const frame = () => new Promise((drawn) => requestAnimationFrame(drawn));
const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;
async function start() {
  const known = ask("/facts").then((answer) => answer.json());
  const coarse = ask("/coarse").then((answer) => answer.arrayBuffer());
  const viewer = await Viewer.on(find("canvas"), { isRadiologicalConvention: true, sagittalNoseLeft: true, showAllOrientationMarkers: true });
  const facts = await known;
  listStructures(facts);
  await viewer.place(facts, facts);
  viewer.scene.crosshairPos = viewer.mm2frac(facts.valve_mm);
  showCoarse(viewer, facts.coarse, await coarse);
  tell("A coarse image; the scan's own voxels are on their way.");
  window.viewer = viewer; // for the console
  document.documentElement.dataset.ready = "coarse";
  const labels = await loadVoxels(viewer, facts);
  const editing = new Editing(labels, facts.shape, facts.to_mm), oblique = new Oblique(find("oblique"), editing, facts, ask);
  connect(viewer, oblique, editing, facts);
  viewer.createOnLocationChange();
  showVolumes(editing, facts);
  find("side").inert = false;
  tell("Ready.");
  Object.assign(window, { oblique, editing, facts });
  document.documentElement.dataset.ready = "planes";
  await offerViews(oblique, facts);
  document.documentElement.dataset.ready = "all";
}

// Scan and labels on fewer voxels over the same box, to be looked at until all are there.
function showCoarse(viewer, [nz, ny, nx], buffer) {
  const size = [nx, ny, nz], bytes = new Uint8Array(buffer), count = nx * ny * nz;
  const textures = { scan: viewer.makeTexture(size, true), labels: viewer.makeTexture(size, false) };
  viewer.write(textures.scan, bytes.subarray(0, count), size);
  viewer.write(textures.labels, bytes.subarray(count), size);
  viewer.use(textures);
}

// Sends the scan's own voxels to the graphics card, a part for each image drawn, so that the page never stands still.
// Gives the labels.
async function loadVoxels(viewer, { shape: [nz, ny, nx] }) {
  const size = [nx, ny, nz], slice = nx * ny, textures = {}, arrays = {};
  for (const name of ["scan", "labels"]) {
    const reader = (await ask(`/${name}`)).body.getReader(), voxels = (arrays[name] = new Uint8Array(slice * nz));
    textures[name] = viewer.makeTexture(size, name === "scan");
    let [got, sent] = [0, 0];
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      voxels.set(part.value, got);
      got += part.value.length;
      const whole = Math.floor(got / slice);
      if (whole > sent && (whole === nz || (whole - sent) * slice > PART_BYTES)) {
        viewer.write(textures[name], voxels, size, [0, 0, sent], [nx - 1, ny - 1, whole - 1]);
        sent = whole;
        await frame();
      }
    }
    if (got !== voxels.length) throw new Error("the program ended");
  }
  viewer.volumes[0].img = arrays.scan;
  viewer.use(textures);
  return arrays.labels;
}

function listStructures(facts) {
  for (const { label, name, colour } of facts.structures) {
    const row = document.createElement("label"), swatch = document.createElement("span"), volume = document.createElement("span");
    row.innerHTML = `<input type="radio" name="structure" value="${label}">`;
    row.firstChild.checked = label === 2;
    [swatch.className, volume.className, volume.id] = ["swatch", "ml", `ml-${label}`];
    swatch.style.background = `rgb(${colour})`;
    row.append(swatch, name, volume);
    find("structures").append(row);
  }
}

function showVolumes(editing, facts) {
  for (const { label } of facts.structures) find(`ml-${label}`).textContent = (editing.counts[label] * facts.voxel_ml).toFixed(1);
}

// Sends what was changed to the graphics card, and no more.
function redraw(viewer, editing, facts) {
  const { low, high } = editing.touched;
  if (high[0] >= 0) viewer.write(viewer.textures.labels, editing.labels, editing.size, low, high);
  editing.clear();
  viewer.drawScene();
  showVolumes(editing, facts);
}

function connect(viewer, oblique, editing, facts) {
  const draw = () => {
    redraw(viewer, editing, facts);
    oblique.refresh();
  };
  let down = false, last = null, valveStroke = null;

  function stamp(voxel) {
    const label = Number(chosen("structure")), radius = Number(find("radius").value), tool = chosen("tool");
    const steps = last ? Math.max(1, Math.ceil(Math.max(...voxel.map((value, a) => (Math.abs(value - last[a]) * editing.spacing[a]) / radius)) * 2)) : 1;
    for (let i = 1; i <= steps; i++) {
      const at = last ? voxel.map((value, a) => Math.round(last[a] + ((value - last[a]) * i) / steps)) : voxel;
      if (tool === "paint") editing.ball(at, radius, label);
      else editing.ball(at, radius, 0, label);
    }
    last = voxel;
    draw();
  }

  // A place that was pointed at in one of the images.
  function visit(voxel, hu) {
    editing.at = voxel;
    if (down && chosen("tool") !== "look") stamp(voxel);
    const label = editing.labels[voxel[0] + editing.size[0] * (voxel[1] + editing.size[1] * voxel[2])];
    const name = facts.structures.find((structure) => structure.label === label)?.name ?? "no structure";
    const place = editing.mm(voxel).map((value, a) => (a < 2 ? -value : value).toFixed(1));
    tell(`${place.join(", ")} mm (LPS): ${name}, ${Math.round(hu ?? 0)} HU`);
  }
  const whole = (vox) => [...vox].slice(0, 3).map(Math.round);
  viewer.onLocationChange = ({ vox, values }) => visit(whole(vox), values[0]?.value);
  oblique.visit = ({ vox, values }) => visit(oblique.voxel(whole(vox)), values[0]?.value);
  for (const canvas of [find("canvas"), find("oblique")]) {
    // Before NiiVue's own listeners, so that the first place of a stroke belongs to it.
    canvas.addEventListener("mousedown", (event) => {
      canvas.focus({ preventScroll: true });
      if (event.button !== 0 || chosen("tool") === "look") return;
      [down, last, valveStroke] = [true, null, null];
      resetValve();
      editing.begin();
    }, { capture: true });
  }
  window.addEventListener("mouseup", () => (down = false));

  function settle(action) {
    valveStroke = null;
    resetValve();
    action();
    draw();
  }
  const undo = () => settle(() => editing.undo() || tell("There is nothing to undo."));
  find("undo").addEventListener("click", undo);
  find("smooth").addEventListener("click", () => settle(() => {
    editing.begin();
    editing.smooth(Number(chosen("structure")));
  }));

  // While the sliders move, the stroke of the plane is made anew each time.
  const sliders = ["height", "sideways", "forwards"].map(find);
  let base = valveFrame(facts, editing);
  function resetValve() {
    for (const slider of sliders) slider.value = 0;
    sliders.forEach(showValue);
  }
  function moveValve() {
    if (!base) return tell("The aortic valve was not found; paint left ventricular cavity and aorta first.", true);
    if (valveStroke !== null) editing.undo();
    const { middle, normal } = base.moved(...sliders.map((slider) => Number(slider.value)));
    editing.begin();
    editing.divide(middle, normal, CAVITY, AORTA, VALVE_REACH, VALVE_DEPTH);
    editing.plane = { middle, normal };
    valveStroke = editing.strokes.length;
    draw();
  }
  for (const slider of sliders) slider.addEventListener("input", moveValve);

  for (const input of document.querySelectorAll('input[type="range"]')) input.addEventListener("input", () => showValue(input));
  document.querySelectorAll('input[type="range"]').forEach(showValue);
  find("fill").addEventListener("input", () => {
    for (const each of [viewer, oblique.viewer]) each?.setDrawOpacity(Number(find("fill").value) / 100);
  });

  const KEYS = { p: "paint", e: "erase", l: "look" };
  window.addEventListener("keydown", (event) => {
    if (event.target.matches("#by")) return;
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) undo();
    else if (event.key in KEYS && !event.ctrlKey && !event.metaKey) document.querySelector(`input[value="${KEYS[event.key]}"]`).checked = true;
  });
  find("save").addEventListener("submit", async (event) => {
    event.preventDefault();
    tell("Saving.");
    const version = editing.version;
    try {
      const answer = await ask(`/save?by=${encodeURIComponent(find("by").value)}`, { method: "POST", body: editing.changes() });
      const { folder } = await answer.json();
      document.documentElement.dataset.saved = version;
      tell(`Saved in ${folder}.`);
    } catch (error) {
      tell(error.message, true);
    }
  });
  window.addEventListener("beforeunload", (event) => {
    if (editing.version !== Number(document.documentElement.dataset.saved ?? 0)) event.preventDefault();
  });
}

function showValue(input) {
  const output = input.parentElement.querySelector("output");
  output.textContent = `${input.value}${input.dataset.unit ?? " mm"}`;
}

// The valve's plane, and where it comes to lie by a move along its normal and two tilts.
function valveFrame(facts, editing) {
  if (!facts.valve_normal) return null;
  const normal = unit(facts.valve_normal), inverse = invert(facts.to_mm);
  const sideways = unit(cross(Math.abs(normal[1]) < 0.9 ? [0, 1, 0] : [0, 0, 1], normal)), forwards = cross(normal, sideways);
  return {
    moved(height, byX, byY) {
      const tilt = [Math.tan((byX * Math.PI) / 180), Math.tan((byY * Math.PI) / 180)];
      const turned = unit(normal.map((value, a) => value + tilt[0] * sideways[a] + tilt[1] * forwards[a]));
      const mm = facts.valve_mm.map((value, a) => value + height * normal[a]);
      return { middle: inverse.map((row) => row[0] * mm[0] + row[1] * mm[1] + row[2] * mm[2] + row[3]), normal: turned };
    },
  };
}

// One of the heart's planes below those of the body.
function offerViews(oblique, facts) {
  const place = find("views");
  facts.views.forEach(({ name }, number) => {
    const button = document.createElement("button");
    [button.type, button.textContent] = ["button", name];
    button.addEventListener("click", () => show(number));
    place.append(button);
  });
  async function show(number) {
    [...place.children].forEach((button, at) => button.setAttribute("aria-pressed", String(at === number)));
    const { name, letters: [left, right, above, below] } = facts.views[number];
    find("oblique-name").textContent = `${name}: left ${left}, right ${right}, above ${above}, below ${below}; the scale is 5 cm long`;
    await oblique.show(number);
    document.documentElement.dataset.view = name;
  }
  return facts.views.length ? show(0) : Promise.resolve();
}

start().catch((error) => {
  tell(`The page cannot be shown (${error.message}).`, true);
  throw error;
});
