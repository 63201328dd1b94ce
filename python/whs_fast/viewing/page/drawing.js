// NiiVue as both images use it, and the matrices between their voxels.

import { Niivue } from "/niivue.js";

export const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
export const unit = (v) => v.map((value) => value / Math.hypot(...v));

// The inverse of a matrix of steps and origin, as three rows.
export function invert(matrix) {
  const axes = [0, 1, 2].map((a) => matrix.slice(0, 3).map((row) => row[a]));
  const volume = axes[0].reduce((sum, value, a) => sum + value * cross(axes[1], axes[2])[a], 0);
  const origin = matrix.slice(0, 3).map((row) => row[3]);
  return [[1, 2], [2, 0], [0, 1]].map(([b, c]) => {
    const row = cross(axes[b], axes[c]).map((value) => value / volume);
    return [...row, -row.reduce((sum, value, a) => sum + value * origin[a], 0)];
  });
}

// First b, then a; each three rows or four, the last of which is 0, 0, 0, 1.
export function multiply(a, b) {
  return a.slice(0, 3).map((row) => [0, 1, 2, 3].map((i) => row[0] * b[0][i] + row[1] * b[1][i] + row[2] * b[2][i] + (i === 3 ? row[3] : 0)));
}

// A viewer whose drawing has the structures' colours. They come before any scan: NiiVue draws all it has anew for them.
export async function makeViewer(canvas, facts, options) {
  const viewer = new Niivue({
    backColor: [0.055, 0.063, 0.078, 1], crosshairWidth: 1, crosshairGap: 12, crosshairColor: [0.7, 0.7, 0.7, 1], multiplanarShowRender: 0,
    dragMode: 6, rulerColor: [0.9, 0.9, 0.9, 1], loadingText: "", dragAndDropEnabled: false, isRuler: true, ...options,
  });
  await viewer.attachToCanvas(canvas);
  const lut = (channel) => [0, ...facts.structures.map(({ colour }) => colour[channel])];
  const names = ["", ...facts.structures.map(({ name }) => name)];
  viewer.setDrawColormap({ R: lut(0), G: lut(1), B: lut(2), A: [0, ...facts.structures.map(() => 255)], labels: names });
  viewer.drawRimOpacity = 1;
  viewer.drawOpacity = Number(document.getElementById("fill").value) / 100;
  return viewer;
}

// Labels as the viewer's drawing. Not by createEmptyDrawing, which makes two arrays and a copy for undoing beside them.
export function useLabels(viewer, labels) {
  viewer.drawBitmap = labels;
  viewer.drawTexture = viewer.r8Tex(viewer.drawTexture, viewer.gl.TEXTURE7, viewer.back.dims, true);
  viewer.refreshDrawing(true);
}
