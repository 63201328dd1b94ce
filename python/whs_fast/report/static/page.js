// Puts the parts together: controls, planes, scene, and the table of normal values.

const sliders = {
  opacity: { read: (value) => (state.opacity = value / 100), show: () => Math.round(state.opacity * 100), unit: "%" },
  level: { read: (value) => setWindow(value, state.width), show: () => state.level, unit: " HU" },
  width: { read: (value) => setWindow(state.level, value), show: () => state.width, unit: " HU" },
};

function describePoint(volumes) {
  const index = state.at.reduce((sum, value, axis) => sum + value * stride[axis], 0);
  const label = volumes.labels[index], grey = volumes.scan[index];
  const name = meta.structures.find((structure) => structure.label === label)?.name ?? "no structure";
  const bound = grey === 0 ? "at most " : grey === 255 ? "at least " : "about ";
  const place = state.at.map((value, axis) => toMm(axis, value).toFixed(1)).join(", ");
  return `Cross at ${place} mm (LPS): ${name}, ${bound}${Math.round(toHU(grey))} HU`;
}

function followBodySurface() {
  const field = document.getElementById("bsa");
  field.addEventListener("input", () => {
    const m2 = Number(field.value);
    for (const cell of document.querySelectorAll("[data-value]")) {
      const index = m2 >= 0.2 && m2 <= 4 ? ` (${(cell.dataset.value / m2).toFixed(0)} ${cell.dataset.unit}/m²)` : cell.dataset.unknown;
      cell.querySelector(".index").textContent = index;
    }
  });
}

async function start() {
  followBodySurface();
  const volumes = await loadVolumes();
  let waiting = false;
  const planes = meta.planes.map((plane) => makePlane(plane, volumes, changed));

  function draw() {
    waiting = false;
    for (const plane of planes) plane.draw();
    document.getElementById("contours").checked = state.contours;
    for (const [id, { show, unit }] of Object.entries(sliders)) {
      document.getElementById(id).value = show();
      document.getElementById(`${id}-value`).textContent = `${show()}${unit}`;
    }
    document.getElementById("point").textContent = describePoint(volumes);
  }
  function changed() {
    if (!waiting) requestAnimationFrame(draw);
    waiting = true;
  }

  for (const [id, { read }] of Object.entries(sliders)) {
    document.getElementById(id).addEventListener("input", (event) => {
      read(Number(event.target.value));
      changed();
    });
  }
  document.getElementById("contours").addEventListener("change", (event) => {
    state.contours = event.target.checked;
    changed();
  });
  let showSurfaces = () => {};
  const boxes = [...document.querySelectorAll("#structures input")];
  const choose = () => {
    state.hidden = new Set(boxes.filter((box) => !box.checked).map((box) => Number(box.value)));
    changed();
    showSurfaces();
  };
  for (const box of boxes) box.addEventListener("change", choose);
  document.getElementById("all").addEventListener("click", () => {
    const some = boxes.some((box) => !box.checked);
    for (const box of boxes) box.checked = some;
    choose();
  });
  document.getElementById("reset").addEventListener("click", () => {
    Object.assign(state, START, { at: [...meta.valve_voxel] });
    for (const plane of planes) plane.reset();
    changed();
  });

  draw();
  document.documentElement.dataset.ready = "slices";
  showSurfaces = await makeScene();
  showSurfaces();
  document.documentElement.dataset.ready = "all";
}

start().catch((error) => {
  document.getElementById("point").textContent = `The images cannot be shown by this browser (${error.message}).`;
  throw error;
});
