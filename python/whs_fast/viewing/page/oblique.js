// The heart's own planes: a block of the scan that lies along one of them, with the labels sampled from the scan's grid,
// in a viewer of its own. What is drawn there is drawn in the scan's voxels, and seen in both.

import { multiply, invert, Viewer } from "/drawing.js";

export class Oblique {
  constructor(canvas, editing, facts, ask) {
    Object.assign(this, { canvas, editing, facts, ask, viewer: null, waiting: false });
    this.toScan = invert(facts.to_mm);
  }

  async show(number) {
    const view = this.facts.views[number], [nz, ny, nx] = view.place.shape, size = [nx, ny, nz];
    const scan = new Uint8Array(await (await this.ask(`/views/${number}`)).arrayBuffer());
    if (!this.viewer) {
      // Right is right here, as the server has laid it.
      this.viewer = await Viewer.on(this.canvas, { isRadiologicalConvention: false, isOrientationTextVisible: false });
      this.viewer.setSliceType(0);
      this.viewer.onLocationChange = (place) => this.visit(place);
    }
    const { viewer } = this;
    await viewer.place(view.place, this.facts);
    viewer.volumes[0].img = scan;
    Object.assign(this, { size, matrix: multiply(this.toScan, view.to_mm), labels: new Uint8Array(nx * ny * nz) });
    this.sample();
    const textures = { scan: viewer.makeTexture(size, true), labels: viewer.makeTexture(size, false) };
    viewer.write(textures.scan, scan, size);
    viewer.write(textures.labels, this.labels, size);
    viewer.scene.crosshairPos = [0.5, 0.5, 0.5];
    viewer.use(textures);
  }

  // The scan's voxel at a voxel of the block.
  voxel(at) {
    return this.matrix.map((row) => Math.round(row[0] * at[0] + row[1] * at[1] + row[2] * at[2] + row[3]));
  }

  sample() {
    const [nx, ny, nz] = this.size, [sx, sy, sz] = this.editing.size, { labels, matrix: [a, b, c] } = this;
    for (let z = 0, i = 0; z < nz; z++) {
      for (let y = 0; y < ny; y++) {
        let u = a[1] * y + a[2] * z + a[3] + 0.5, v = b[1] * y + b[2] * z + b[3] + 0.5, w = c[1] * y + c[2] * z + c[3] + 0.5;
        for (let x = 0; x < nx; x++, i++, u += a[0], v += b[0], w += c[0]) {
          labels[i] = u >= 0 && v >= 0 && w >= 0 && u < sx && v < sy && w < sz ? this.editing.labels[(u | 0) + sx * ((v | 0) + sy * (w | 0))] : 0;
        }
      }
    }
  }

  // After a change of the labels, once for all that happens until the next frame.
  refresh() {
    if (!this.viewer?.volumes.length || this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.sample();
      this.viewer.write(this.viewer.textures.labels, this.labels, this.size);
      this.viewer.drawScene();
    });
  }
}
