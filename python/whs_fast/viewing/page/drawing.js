// NiiVue as both images use it, and the matrices between their voxels.
//
// NiiVue lays the slices out, draws cross, ruler and letters, and answers mouse, wheel and touch. The voxels lie on the
// graphics card in textures of our own, one byte each: NiiVue would make two more of four bytes each, for volume
// rendering, which takes ten seconds of a large scan, and again at each change of the window.

import { Niivue } from "/niivue.js";

const UNITS = { write: 11, scan: 12, labels: 13 }; // of textures, which NiiVue leaves free
const DRAWN = /uniform .*(lineColor|circleColor|surfaceColor|fontColor|scan)\b/;
const SHADER = `#version 300 es
precision highp float;
uniform highp sampler3D scan, labels;
uniform vec3 colours[11];
uniform vec2 window;
uniform float drawOpacity;
in vec3 texPos;
out vec4 color;
int label(vec3 place) { return int(texture(labels, place).r * 255.0 + 0.5); }
void main() {
  float grey = clamp((texture(scan, texPos).r - window.x) / (window.y - window.x), 0.0, 1.0);
  int here = label(texPos);
  vec3 right = dFdx(texPos), up = dFdy(texPos);
  bool rim = label(texPos - right) != here || label(texPos + right) != here || label(texPos - up) != here || label(texPos + up) != here;
  color = vec4(here == 0 ? vec3(grey) : mix(vec3(grey), colours[here], rim ? 1.0 : drawOpacity), 1.0);
}`;

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

// NiiVue compiles fifty programs, one after the other. Here it gets those that draw flat images, and the others are left
// out: what is told to them is told to nobody.
function onlyWhatIsDrawn(gl) {
  const texts = new WeakMap(), left = new WeakSet(), own = Object.getPrototypeOf(gl);
  const unless = (name, answer) => (gl[name] = (program, ...more) => (left.has(program) ? answer : own[name].call(gl, program, ...more)));
  gl.shaderSource = (shader, text) => own.shaderSource.call(gl, shader, texts.set(shader, text).get(shader));
  gl.linkProgram = (program) => {
    if (gl.getAttachedShaders(program).some((shader) => DRAWN.test(texts.get(shader)))) own.linkProgram.call(gl, program);
    else left.add(program);
  };
  unless("getProgramParameter", true);
  unless("getUniformLocation", null);
  unless("useProgram");
}

export class Viewer extends Niivue {
  static async on(canvas, options) {
    const viewer = new Viewer({
      backColor: [0.055, 0.063, 0.078, 1], crosshairWidth: 1, crosshairGap: 12, crosshairColor: [0.7, 0.7, 0.7, 1], multiplanarShowRender: 0,
      dragMode: 0, rulerColor: [0.9, 0.9, 0.9, 1], loadingText: "", dragAndDropEnabled: false, isRuler: true, rulerWidth: 2, ...options,
    });
    onlyWhatIsDrawn(canvas.getContext("webgl2", { antialias: false }));
    await viewer.attachToCanvas(canvas);
    canvas.addEventListener("pointermove", ({ buttons, movementX, movementY }) => buttons === 2 && viewer.changeWindow(movementX, movementY));
    viewer.textures = {};
    viewer.setCustomSliceShader(SHADER);
    viewer.drawOpacity = Number(document.getElementById("fill").value) / 100;
    return viewer;
  }

  // Takes the place in the patient of voxels that `use` will show: NiiVue gets a frame of 2 x 2 x 2 over the same box.
  async place({ shape: [nz, ny, nx], to_mm: affine, frame }, { window: [low, high], structures }) {
    while (this.volumes.length) this.removeVolumeByIndex(0);
    await this.loadFromArrayBuffer(Uint8Array.from(atob(frame), (letter) => letter.charCodeAt(0)).buffer, "frame.nii");
    const [volume] = this.volumes, { hdr } = volume;
    const steps = [0, 1, 2].map((axis) => Math.hypot(...affine.slice(0, 3).map((row) => row[axis])));
    hdr.dims.splice(1, 3, nx, ny, nz);
    hdr.pixDims.splice(1, 3, ...steps);
    hdr.affine = affine;
    volume.calculateRAS();
    Object.assign(volume, { dims: volume.dimsRAS, pixDims: volume.pixDimsRAS, cal_min: low, cal_max: high, global_min: low, global_max: high });
    const { gl, customSliceShader: { program } } = this;
    gl.useProgram(program);
    for (const name of ["scan", "labels"]) gl.uniform1i(gl.getUniformLocation(program, name), UNITS[name]);
    gl.uniform3fv(gl.getUniformLocation(program, "colours"), [0, 0, 0, ...structures.flatMap(({ colour }) => colour.map((value) => value / 255))]);
    this.refreshLayers(volume, 0);
  }

  // NiiVue calls it when the window changes, too, for which a number on the card is enough.
  refreshLayers(volume, layer) {
    const { gl, customSliceShader: { program } } = this;
    if (volume.dimsRAS[1] === 2) {
      gl.drawArrays = () => {}; // of the frame nothing but its place is wanted
      super.refreshLayers(volume, layer);
      delete gl.drawArrays;
      return;
    }
    const { scl_slope, scl_inter } = volume.hdr;
    gl.useProgram(program);
    gl.uniform2f(gl.getUniformLocation(program, "window"), ...[volume.cal_min, volume.cal_max].map((hu) => (hu - scl_inter) / scl_slope / 255));
  }

  // A texture for as many voxels, [x, y, z].
  makeTexture(size, linear) {
    const { gl } = this, texture = gl.createTexture();
    gl.activeTexture(gl.TEXTURE0 + UNITS.write);
    gl.bindTexture(gl.TEXTURE_3D, texture);
    gl.texStorage3D(gl.TEXTURE_3D, 1, gl.R8, ...size);
    for (const which of ["MIN", "MAG"]) gl.texParameteri(gl.TEXTURE_3D, gl[`TEXTURE_${which}_FILTER`], linear ? gl.LINEAR : gl.NEAREST);
    for (const axis of ["S", "T", "R"]) gl.texParameteri(gl.TEXTURE_3D, gl[`TEXTURE_WRAP_${axis}`], gl.CLAMP_TO_EDGE);
    return texture;
  }

  // Sends a box of an array of [x, y, z] voxels, from low to high, both included.
  write(texture, voxels, size, low = [0, 0, 0], high = size.map((count) => count - 1)) {
    const { gl } = this;
    const how = { UNPACK_ROW_LENGTH: size[0], UNPACK_IMAGE_HEIGHT: size[1], UNPACK_SKIP_PIXELS: low[0], UNPACK_SKIP_ROWS: low[1], UNPACK_SKIP_IMAGES: low[2] };
    gl.activeTexture(gl.TEXTURE0 + UNITS.write);
    gl.bindTexture(gl.TEXTURE_3D, texture);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    for (const [name, value] of Object.entries(how)) gl.pixelStorei(gl[name], value);
    gl.texSubImage3D(gl.TEXTURE_3D, 0, ...low, ...high.map((value, a) => value - low[a] + 1), gl.RED, gl.UNSIGNED_BYTE, voxels);
    for (const name of Object.keys(how)) gl.pixelStorei(gl[name], 0);
  }

  // Shows textures of scan and labels in place of earlier ones.
  use(textures) {
    const { gl } = this;
    for (const [name, texture] of Object.entries(textures)) {
      gl.activeTexture(gl.TEXTURE0 + UNITS[name]);
      gl.bindTexture(gl.TEXTURE_3D, texture);
      gl.deleteTexture(this.textures[name] ?? null);
      this.textures[name] = texture;
    }
    this.drawScene();
  }

  // A scale of 5 cm. NiiVue's own is drawn into the last slice alone, as if that were the whole canvas.
  drawRuler() {
    const { gl } = this, [{ leftTopWidthHeight: [left, top, width, height], fovMM }] = this.screenSlices;
    const length = (50 * width) / Math.abs(fovMM[0]), start = left + (width - length) / 2, line = top + height - 0.1 * length;
    gl.viewport(0, 0, gl.canvas.width, gl.canvas.height);
    this.drawRuler10cm([start, line, start + length, line], this.opts.rulerColor, this.opts.rulerWidth);
  }

  // The window in HU by a drag in pixels: wider to the right, brighter upwards.
  changeWindow(right, down) {
    const [volume] = this.volumes, width = volume.cal_max - volume.cal_min, level = (volume.cal_max + volume.cal_min) / 2 + 2 * down;
    const next = Math.max(20, width + 3 * right);
    Object.assign(volume, { cal_min: level - next / 2, cal_max: level + next / 2 });
    this.refreshLayers(volume, 0);
    this.drawScene();
  }
}
