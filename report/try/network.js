// The network: two ONNX graphs that stand in this page, run by the WebAssembly that stands beside them.

const network = { encoder: null, generator: null, familiar: null };

/** Unpack and start everything; about a second. */
async function startNetwork() {
  const [wasm, generator, encoder] = await Promise.all(["wasm", "generator", "encoder"].map(async (name) => {
    const text = byId(name)?.textContent;
    return text ? inflate(text, "gzip") : null;
  }));
  Runtime.env.wasm.numThreads = 1;  // more would need workers, which a page from a file may not start
  Runtime.env.wasm.wasmBinary = wasm.buffer;
  const how = { executionProviders: ["wasm"] };
  network.generator = await Runtime.InferenceSession.create(generator, how);
  if (encoder) network.encoder = await Runtime.InferenceSession.create(encoder, how);
  if (facts.familiar) network.familiar = await unpackFamiliar(facts.familiar);
}

/** What the network makes of a picture of encoderPicture: `answer` of training/networks/build.py. */
async function answerTo(picture) {
  const { codes, traits } = await encode(facts.mirrors ? [picture, mirrored(picture)] : [picture]);
  const code = codes.slice(0, facts.latent);
  const both = await generate(codes, POSTERIOR);
  if (!facts.mirrors) return { code, traits, occupancy: both };
  // The mean of two answers: that to the mirror image is mirrored back, along x.
  const n = facts.resolution, plane = n * n;
  const occupancy = both.slice(0, n * plane).map((share, at) => {
    const x = Math.floor(at / plane);
    return (share + both[n * plane + (n - 1 - x) * plane + at % plane]) / 2;
  });
  return { code, traits, occupancy };
}

/** Left and right exchanged. */
function mirrored(picture) {
  const size = facts.sizePx;
  return picture.map((_, at) => {
    const pixel = Math.floor(at / 3), column = pixel % size;
    return picture[3 * (pixel - column + size - 1 - column) + at % 3];
  });
}

/** The codes of pictures, one after the other, and what the first layers saw of the first one. */
async function encode(pictures) {
  const size = facts.sizePx, plane = size * size, images = new Float32Array(3 * plane * pictures.length);
  pictures.forEach((picture, number) => {
    for (let pixel = 0; pixel < plane; pixel++) {
      for (let channel = 0; channel < 3; channel++) {
        images[(3 * number + channel) * plane + pixel] = picture[3 * pixel + channel] / 127.5 - 1;
      }
    }
  });
  const out = await network.encoder.run({ images: new Runtime.Tensor("float32", images, [pictures.length, 3, size, size]) });
  return { codes: out.codes.data, traits: out.traits.data.slice(0, out.traits.dims[1]) };
}

/** The occupancy probabilities of one or more codes, x slowest; `source` as training/networks/codes.py numbers it. */
async function generate(codes, source) {
  const out = await network.generator.run({
    codes: new Runtime.Tensor("float32", Float32Array.from(codes), [codes.length / facts.latent, facts.latent]),
    source: new Runtime.Tensor("int64", BigInt64Array.of(BigInt(source)), []),
  });
  return out.occupancy.data;
}

/** Probabilities as levels 0 ... 255, to which thresholds belong. */
function levelsOf(occupancy) {
  return Uint8Array.from(occupancy, (share) => Math.round(share * 255));
}

async function unpackFamiliar(packed) {
  const names = ["mean", "deviation", "known", "between"];
  const found = await Promise.all(names.map(async (name) => floats(await inflate(packed[name]))));
  return Object.fromEntries(names.map((name, number) => [name, found[number]]));
}

function floats(bytes) {
  return new Float32Array(bytes.buffer, 0, bytes.length / 4);
}

/** Percent of the known pictures that are nearer to another one than `traits` are to any: training/inference/familiar.py. */
function percentileOf(traits) {
  const { mean, deviation, known, between } = network.familiar, wide = mean.length;
  let least = Infinity;
  for (let row = 0; row < known.length; row += wide) {
    let sum = 0;
    for (let n = 0; n < wide; n++) sum += ((traits[n] - mean[n]) / deviation[n] - known[row + n]) ** 2;
    const distance = Math.sqrt(sum);
    if (distance > facts.familiar.self) least = Math.min(least, distance);
  }
  return 100 * between.filter((distance) => distance < least).length / between.length;
}
