// Draws the spread of each quantity as points on a canvas, and adds cards to the contact sheet as they come into view.

const data = JSON.parse(document.getElementById("data").textContent);
const AT_ONCE = 60, REACH_PX = 8, BAND_PX = 11;

const reportOf = (row) => `scans/${encodeURIComponent(row.files)}/${data.report}`;
const pictureOf = (row) => `thumbnails/${encodeURIComponent(row.files)}.jpg`;

function make(tag, text, parent, className = "") {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  if (className) element.className = className;
  parent.append(element);
  return element;
}

function quantile(sorted, share) {
  const place = (sorted.length - 1) * share, low = Math.floor(place);
  return sorted[low] + (place - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}

// A height that looks random and is always the same for a row.
const jitter = (index) => (index * 0.618034) % 1;

function niceStep(span) {
  const rough = span / 6, power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
}

// Blends squares into the pixels themselves: as fifty thousand drawing commands they would take seconds.
function plot(pen, points, ink, scale) {
  const { width, height } = pen.canvas, image = pen.getImageData(0, 0, width, height), side = Math.round(4 * scale);
  const rgb = [1, 3, 5].map((at) => parseInt(ink.slice(at, at + 2), 16));
  const alpha = Math.max(0.2, Math.min(1, 8 / Math.sqrt(points.length)));
  for (const [x, y] of points) {
    const left = Math.round(x * scale - side / 2), top = Math.round(y * scale - side / 2);
    for (let row = Math.max(0, top); row < Math.min(height, top + side); row++) {
      for (let column = Math.max(0, left); column < Math.min(width, left + side); column++) {
        const at = 4 * (row * width + column), before = image.data[at + 3] / 255, after = alpha + before * (1 - alpha);
        for (let k = 0; k < 3; k++) image.data[at + k] = (rgb[k] * alpha + image.data[at + k] * before * (1 - alpha)) / after;
        image.data[at + 3] = 255 * after;
      }
    }
  }
  pen.putImageData(image, 0, 0);
}

function draw(chart) {
  const { canvas, quantity, at, sorted } = chart, style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const width = canvas.clientWidth, height = canvas.clientHeight, scale = devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.scale(scale, scale);
  const bands = quantity.ranges.length * BAND_PX, floor = height - 18 - bands, most = chart.most;
  const toX = (value) => 8 + (value / most) * (width - 16);
  pen.font = "11px system-ui, sans-serif";
  pen.fillStyle = colour("--quiet");
  pen.textAlign = "center";
  for (let value = 0, step = niceStep(most); value <= most; value += step) pen.fillText(+value.toFixed(6), toX(value), height - 4);
  quantity.ranges.forEach((range, index) => {
    const y = floor + 4 + index * BAND_PX, end = Math.min(toX(range.high), width - 8);
    pen.fillStyle = colour("--band");
    pen.fillRect(toX(range.low), y, Math.max(0, end - toX(range.low)), 3);
    pen.textAlign = "left";
    pen.fillStyle = colour("--quiet");
    pen.fillText(range.name, end + 4, y + 5);
  });
  if (sorted.length) {
    const [low, middle, high] = [0.25, 0.5, 0.75].map((share) => toX(quantile(sorted, share)));
    pen.fillStyle = colour("--box");
    pen.globalAlpha = 0.18;
    pen.fillRect(low, 4, Math.max(1, high - low), floor - 4);
    pen.globalAlpha = 1;
    pen.fillRect(middle - 1, 4, 2, floor - 4);
  }
  chart.points = data.rows.map((row, index) => [toX(row.values[at]), 8 + jitter(index) * (floor - 14)]);
  plot(pen, chart.points, colour("--ink"), scale);
  pen.strokeStyle = colour("--ring");
  pen.lineWidth = 2;
  data.rows.forEach((row, index) => {
    if (Math.abs(row.z[at]) <= data.most) return;
    pen.beginPath();
    pen.arc(...chart.points[index], 4.5, 0, 7);
    pen.stroke();
  });
}

function nearest(chart, event) {
  const box = chart.canvas.getBoundingClientRect();
  const x = event.clientX - box.left, y = event.clientY - box.top;
  let best = -1, least = REACH_PX * REACH_PX;
  chart.points.forEach((point, index) => {
    const away = (point[0] - x) ** 2 + (point[1] - y) ** 2;
    if (away <= least) [best, least] = [index, away];
  });
  return best;
}

function addChart(quantity, at) {
  const box = make("div", "", document.getElementById("quantities"), "quantity");
  make("h3", `${quantity.name}, ${quantity.unit}`, box);
  const canvas = make("canvas", "", box);
  canvas.style.height = `${80 + BAND_PX * quantity.ranges.length}px`;
  const sorted = data.rows.map((row) => row.values[at]).filter((value) => value > 0).sort((a, b) => a - b);
  const show = (share) => quantile(sorted, share).toFixed(sorted[sorted.length >> 1] < 10 ? 2 : 1);
  const text = sorted.length ? `median ${show(0.5)} (${show(0.25)} to ${show(0.75)})` : "none found";
  const figures = make("div", text, box, "figures"), lost = data.rows.length - sorted.length;
  if (lost) make("div", `not found in ${lost}`, figures, "quiet");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${quantity.name}, ${quantity.unit}: ${text}`);
  const most = 1.05 * Math.max(1, sorted[sorted.length - 1] ?? 0, ...quantity.ranges.map((range) => range.high));
  const chart = { canvas, quantity, at, sorted, most, points: [] }, tip = document.getElementById("tip");
  canvas.addEventListener("mousemove", (event) => {
    const index = nearest(chart, event);
    tip.hidden = index < 0;
    canvas.style.cursor = index < 0 || !data.rows[index].files ? "default" : "pointer";
    if (index < 0) return;
    tip.textContent = `${data.rows[index].id}: ${data.rows[index].values[at]} ${quantity.unit}`;
    tip.style.left = `${Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${event.clientY + 14}px`;
  });
  canvas.addEventListener("mouseleave", () => (tip.hidden = true));
  canvas.addEventListener("click", (event) => {
    const index = nearest(chart, event);
    if (index >= 0 && data.rows[index].files) location.href = reportOf(data.rows[index]);
  });
  return chart;
}

let wanted = data.rows, shown = 0;

function addCards() {
  const sheet = document.getElementById("sheet");
  for (const row of wanted.slice(shown, shown + AT_ONCE)) {
    const card = make("div", "", sheet, "card");
    if (row.files) {
      const link = make("a", "", card);
      link.href = reportOf(row);
      const image = make("img", "", link);
      image.loading = "lazy";
      image.alt = `Planes through the aortic valve of ${row.id}`;
      image.src = pictureOf(row);
      const name = make("a", row.id, make("p", "", card, "id"));
      name.href = reportOf(row);
    } else make("p", row.id, card, "id");
    if (row.reasons.length) {
      const list = make("ul", "", card);
      for (const reason of row.reasons) make("li", reason, list);
    }
  }
  shown = Math.min(shown + AT_ONCE, wanted.length);
  document.getElementById("shown").textContent = `${shown} of ${wanted.length} shown`;
}

const charts = data.quantities.map(addChart);
const drawAll = () => charts.forEach(draw);
requestAnimationFrame(() => setTimeout(drawAll)); // after the page itself is there
addEventListener("resize", drawAll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
new IntersectionObserver((entries) => {
  if (entries.some((entry) => entry.isIntersecting) && shown < wanted.length) addCards();
}, { rootMargin: "600px" }).observe(document.getElementById("more"));
document.getElementById("filter").addEventListener("input", (event) => {
  const text = event.target.value.toLowerCase();
  wanted = data.rows.filter((row) => row.id.toLowerCase().includes(text));
  shown = 0;
  document.getElementById("sheet").replaceChildren();
  addCards();
});
