// Changes of the labels: balls, smoothing and the plane of the valve, each a stroke that can be undone. Labels are one
// array, x fastest; a stroke remembers the label that each of its voxels had.

export class Editing {
  constructor(labels, [nz, ny, nx], toMm) {
    Object.assign(this, { labels, size: [nx, ny, nz], toMm, strokes: [], version: 0, counts: new Float64Array(256) });
    for (let i = 0; i < labels.length; i++) this.counts[labels[i]]++;
    this.axes = [0, 1, 2].map((axis) => [0, 1, 2].map((row) => toMm[row][axis])); // mm of a voxel's step
    this.spacing = this.axes.map((axis) => Math.hypot(...axis));
    this.clear();
  }

  clear() {
    this.touched = { low: [Infinity, Infinity, Infinity], high: [-1, -1, -1] };
  }

  mm([x, y, z]) {
    return this.toMm.slice(0, 3).map((row) => row[0] * x + row[1] * y + row[2] * z + row[3]);
  }

  begin() {
    this.version++;
    this.strokes.push(new Map());
  }

  put(x, y, z, label) {
    const index = x + this.size[0] * (y + this.size[1] * z), old = this.labels[index], stroke = this.strokes.at(-1);
    if (old === label) return;
    if (!stroke.has(index)) stroke.set(index, old);
    this.set(index, label);
  }

  set(index, label) {
    this.counts[this.labels[index]]--;
    this.counts[label]++;
    this.labels[index] = label;
    const [nx, ny] = this.size, place = [index % nx, Math.floor(index / nx) % ny, Math.floor(index / (nx * ny))];
    for (let a = 0; a < 3; a++) {
      this.touched.low[a] = Math.min(this.touched.low[a], place[a]);
      this.touched.high[a] = Math.max(this.touched.high[a], place[a]);
    }
  }

  undo() {
    this.version++;
    const stroke = this.strokes.pop();
    if (stroke) for (const [index, label] of stroke) this.set(index, label);
    return Boolean(stroke);
  }

  // Every voxel of a box of mm around a voxel, with its distance from that voxel in mm as a vector.
  around(middle, reach, visit) {
    const step = [0, 1, 2].map((axis) => Math.ceil(reach / this.spacing[axis]));
    const low = middle.map((value, a) => Math.max(0, Math.round(value) - step[a]));
    const high = middle.map((value, a) => Math.min(this.size[a] - 1, Math.round(value) + step[a]));
    const [ax, ay, az] = this.axes;
    for (let z = low[2]; z <= high[2]; z++) {
      for (let y = low[1]; y <= high[1]; y++) {
        for (let x = low[0]; x <= high[0]; x++) {
          const u = x - middle[0], v = y - middle[1], w = z - middle[2];
          visit(x, y, z, u * ax[0] + v * ay[0] + w * az[0], u * ax[1] + v * ay[1] + w * az[1], u * ax[2] + v * ay[2] + w * az[2]);
        }
      }
    }
  }

  // A ball around a voxel takes the label; only: nothing but voxels of that label are changed.
  ball(middle, radius, label, only = null) {
    const [nx, ny] = this.size;
    this.around(middle, radius, (x, y, z, dx, dy, dz) => {
      if (dx * dx + dy * dy + dz * dz > radius * radius) return;
      if (only === null || this.labels[x + nx * (y + ny * z)] === only) this.put(x, y, z, label);
    });
  }

  // A voxel joins the structure, or leaves it for the label that is most frequent around, by the majority of 27.
  smooth(label) {
    const box = this.box(label);
    if (!box) return;
    const [nx, ny, nz] = this.size, changes = [];
    for (let z = box.low[2]; z <= box.high[2]; z++) {
      for (let y = box.low[1]; y <= box.high[1]; y++) {
        for (let x = box.low[0]; x <= box.high[0]; x++) {
          const votes = new Map();
          for (let k = Math.max(0, z - 1); k <= Math.min(nz - 1, z + 1); k++) {
            for (let j = Math.max(0, y - 1); j <= Math.min(ny - 1, y + 1); j++) {
              const row = nx * (j + ny * k);
              for (let i = Math.max(0, x - 1); i <= Math.min(nx - 1, x + 1); i++) votes.set(this.labels[row + i], (votes.get(this.labels[row + i]) ?? 0) + 1);
            }
          }
          const here = this.labels[x + nx * (y + ny * z)], own = votes.get(label) ?? 0;
          if (here === 0 && own > 13) changes.push([x, y, z, label]);
          else if (here === label && own < 14) {
            votes.delete(label);
            changes.push([x, y, z, [...votes].reduce((best, vote) => (vote[1] > best[1] ? vote : best))[0]]);
          }
        }
      }
    }
    for (const [x, y, z, to] of changes) this.put(x, y, z, to);
  }

  box(label) {
    const low = [Infinity, Infinity, Infinity], high = [-1, -1, -1], [nx, ny, nz] = this.size;
    for (let z = 0, i = 0; z < nz; z++) {
      for (let y = 0; y < ny; y++) {
        for (let x = 0; x < nx; x++, i++) {
          if (this.labels[i] !== label) continue;
          [x, y, z].forEach((value, a) => {
            if (value < low[a]) low[a] = value;
            if (value > high[a]) high[a] = value;
          });
        }
      }
    }
    if (high[0] < 0) return null;
    return { low: low.map((value) => Math.max(0, value - 1)), high: high.map((value, a) => Math.min(this.size[a] - 1, value + 1)) };
  }

  // Beyond a plane what is `below` becomes `above`, on this side the other way round, near the point and the plane.
  divide(middle, normal, below, above, reach, depth) {
    const [nx, ny] = this.size;
    this.around(middle, reach, (x, y, z, dx, dy, dz) => {
      const here = this.labels[x + nx * (y + ny * z)];
      if (here !== below && here !== above) return;
      const height = dx * normal[0] + dy * normal[1] + dz * normal[2];
      if (Math.abs(height) > depth || dx * dx + dy * dy + dz * dz > reach * reach) return;
      this.put(x, y, z, height > 0 ? above : below);
    });
  }

  // All voxels that any stroke changed, as the server takes them: four bytes of index, one of label.
  changes() {
    const indices = new Set(this.strokes.flatMap((stroke) => [...stroke.keys()]));
    const bytes = new DataView(new ArrayBuffer(5 * indices.size));
    let at = 0;
    for (const index of indices) {
      bytes.setUint32(at, index, true);
      bytes.setUint8(at + 4, this.labels[index]);
      at += 5;
    }
    return bytes.buffer;
  }
}
