// The heart in 3D: one mesh per structure, drawn by plotly.js, which is packed in the page.

const VIEWS = { Front: [0, -1, 0], Back: [0, 1, 0], Left: [1, 0, 0], Right: [-1, 0, 0], Head: [0, 0, 1], Feet: [0, 0, -1] };
const DISTANCE = 1.6;
const TURN = Math.PI / 18;

// Looking along the body's axis, the front is up, as in axial slices.
function camera([x, y, z], distance = DISTANCE) {
  const steep = Math.abs(z) > 0.99;
  return { eye: { x: x * distance, y: y * distance, z: z * distance }, up: steep ? { x: 0, y: -1, z: 0 } : { x: 0, y: 0, z: 1 } };
}

function hasWebGL() {
  const canvas = document.createElement("canvas");
  return Boolean(canvas.getContext("webgl2") || canvas.getContext("webgl"));
}

async function loadPlotly() {
  const script = document.createElement("script");
  script.textContent = new TextDecoder().decode(await unpack("plotly"));
  document.head.append(script);
  return window.Plotly;
}

function makeTraces(surfaces) {
  const meshes = surfaces.map(({ label, ...mesh }) => {
    const { name, colour } = meta.structures.find((structure) => structure.label === label);
    return {
      type: "mesh3d", name, label, color: `rgb(${colour})`, hoverinfo: "name", ...mesh,
      lighting: { ambient: 0.5, diffuse: 0.65, specular: 0.15, roughness: 0.6, fresnel: 0.1, vertexnormalsepsilon: 0, facenormalsepsilon: 0 },
      lightposition: { x: 300, y: -900, z: 700 },
    };
  });
  const low = meta.origin_mm, high = low.map((value, axis) => toMm(axis, count[axis] - 1));
  const middle = low.map((value, axis) => (value + high[axis]) / 2);
  const ends = [["R", 0, low], ["L", 0, high], ["A", 1, low], ["P", 1, high], ["F", 2, low], ["H", 2, high]];
  const places = ends.map(([, axis, end]) => middle.map((value, other) => (other === axis ? end[axis] : value)));
  const letters = {
    type: "scatter3d", mode: "text", text: ends.map(([letter]) => letter), hoverinfo: "skip",
    x: places.map((p) => p[0]), y: places.map((p) => p[1]), z: places.map((p) => p[2]),
    textfont: { color: "#ffffff", size: 15 },
  };
  return [...meshes, letters];
}

async function makeScene() {
  const panel = document.getElementById("heart"), target = panel.querySelector(".scene"), note = panel.querySelector(".note");
  if (!meta.surfaces.length) {
    note.textContent = "There is no structure to show.";
    return () => {};
  }
  if (!hasWebGL()) {
    note.textContent = "This browser or machine offers no WebGL, which the 3D view needs.";
    return () => {};
  }
  const [Plotly, surfaces] = [await loadPlotly(), await loadSurfaces()];
  const hidden = { visible: false };
  const layout = {
    paper_bgcolor: "#000000", margin: { l: 0, r: 0, t: 0, b: 0 }, showlegend: false, uirevision: "kept", font: { color: "#ffffff" },
    scene: { xaxis: hidden, yaxis: hidden, zaxis: hidden, aspectmode: "data", dragmode: "orbit", camera: camera(VIEWS.Front) },
  };
  note.remove();
  const traces = makeTraces(surfaces);
  await Plotly.newPlot(target, traces, layout, { displayModeBar: false, displaylogo: false, responsive: true, scrollZoom: true });

  const look = (to) => Plotly.relayout(target, { "scene.camera": to });
  for (const button of panel.querySelectorAll("button")) {
    button.disabled = false;
    button.addEventListener("click", () => look(camera(VIEWS[button.textContent])));
  }
  const KEYS = { ArrowLeft: [-TURN, 0], ArrowRight: [TURN, 0], ArrowUp: [0, TURN], ArrowDown: [0, -TURN] };
  target.addEventListener("keydown", (event) => {
    const [around, over] = KEYS[event.key] ?? [0, 0], zoom = { "+": 1 / 1.1, "-": 1.1 }[event.key] ?? 1;
    if (!around && !over && zoom === 1) return;
    event.preventDefault();
    const { x, y, z } = target.layout.scene.camera.eye, distance = Math.hypot(x, y, z);
    const height = clamp(Math.asin(z / distance) + over, -1.5, 1.5), side = Math.atan2(y, x) + around;
    look(camera([Math.cos(height) * Math.cos(side), Math.cos(height) * Math.sin(side), Math.sin(height)], distance * zoom));
  });
  return () => {
    const meshes = surfaces.map((surface, index) => index);
    Plotly.restyle(target, { visible: surfaces.map(({ label }) => !state.hidden.has(label)) }, meshes);
  };
}
