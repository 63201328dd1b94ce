// Unpacks the data in the page. Arrays are indexed z, y, x; millimetres are x, y, z in LPS.

const meta = JSON.parse(document.getElementById("meta").textContent);

async function unpack(id) {
  const text = atob(document.getElementById(id).textContent);
  const packed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) packed[i] = text.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

// Each voxel was stored as its difference from the mean of its three preceding neighbours.
function undoPrediction(bytes, [nz, ny, nx]) {
  const plane = ny * nx;
  for (let z = 0, i = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++, i++) {
        const sum = (x ? bytes[i - 1] : 0) + (y ? bytes[i - nx] : 0) + (z ? bytes[i - plane] : 0);
        bytes[i] += Math.floor(sum / 3);
      }
    }
  }
  return bytes;
}

async function loadVolumes() {
  const [scan, labels] = await Promise.all([unpack("scan"), unpack("labels")]);
  return { scan: undoPrediction(new Uint8Array(scan), meta.shape), labels: new Uint8Array(labels) };
}

// Each number was stored as its difference from the one three places before: the same axis, the same corner.
function undoDifferences(numbers) {
  for (let i = 3; i < numbers.length; i++) numbers[i] += numbers[i - 3];
  return numbers;
}

async function loadSurfaces() {
  const numbers = new Int32Array(await unpack("surfaces"));
  let at = 0;
  return meta.surfaces.map(({ label, vertices, faces }) => {
    const places = undoDifferences(numbers.subarray(at, (at += 3 * vertices)));
    const corners = undoDifferences(numbers.subarray(at, (at += 3 * faces)));
    const axis = (a) => Float32Array.from({ length: vertices }, (_, i) => places[3 * i + a] * meta.surface_step_mm + meta.origin_mm[a]);
    const corner = (c) => Uint32Array.from({ length: faces }, (_, i) => corners[3 * i + c]);
    return { label, x: axis(0), y: axis(1), z: axis(2), i: corner(0), j: corner(1), k: corner(2) };
  });
}
