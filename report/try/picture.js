// A photograph becomes the square picture that an encoder sees: training/inference/photograph.py and
// pipeline/pictures/square.py, number by number, so that the answers here are those of `training reconstruct`.

const GREY = 127;  // behind a masked object: 0 in the network's range
const BITS = 22;  // Pillow's weights are whole numbers of 2^-22 (its Resample.c)

/**
 * RGB of `size` x `size` pixels, row by row.
 * photo = { pixels: RGBA bytes, width, height }, cover: a byte a pixel, 255 where the object is,
 * crop = [left, top, right, bottom].  Throws where nothing is left.
 * atObject: cut further to the square around what is covered, for a network that knows pictures cropped there.
 */
function encoderPicture(photo, cover, crop, size, atObject = false) {
  const [left, top, right, bottom] = crop, width = right - left, height = bottom - top;
  const flat = new Uint8Array(3 * width * height);
  let something = false;
  for (let row = 0, to = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const at = (top + row) * photo.width + left + column, share = cover[at];
      something ||= share > 0;
      for (let channel = 0; channel < 3; channel++, to++) {
        flat[to] = Math.floor((photo.pixels[4 * at + channel] * share + GREY * (255 - share) + 127) / 255);
      }
    }
  }
  if (!something) throw new Error("Nothing of the photograph is left: bring some of it back, or move the crop.");
  const window = atObject && cover.some((share) => share < 255) ? windowOf(photo.width, cover, crop) : null;
  return window ? resized(squareOf(flat, width, height, window), window[2], window[2], size) : resized(flat, width, height, size);
}

/** Left, top and side, seen from the crop, of the square 1.15 times as wide as the box of what is half covered. */
function windowOf(wide, cover, [left, top, right, bottom]) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  let count = 0;
  for (let row = top; row < bottom; row++) {
    for (let column = left; column < right; column++) {
      if (cover[row * wide + column] < 128) continue;
      count++;
      box[0] = Math.min(box[0], column - left);
      box[1] = Math.min(box[1], row - top);
      box[2] = Math.max(box[2], column - left + 1);
      box[3] = Math.max(box[3], row - top + 1);
    }
  }
  if (count === 0 || count === (right - left) * (bottom - top)) return null;  // this tells no object
  const side = Math.ceil(23 * Math.max(box[2] - box[0], box[3] - box[1]) / 20);
  return [Math.floor((box[0] + box[2] - side) / 2), Math.floor((box[1] + box[3] - side) / 2), side];
}

/** RGB of a square of a picture, whose border is repeated where the square reaches beyond it. */
function squareOf(flat, width, height, [left, top, side]) {
  const out = new Uint8Array(3 * side * side);
  const inside = (place, count) => Math.min(count - 1, Math.max(0, place));
  for (let row = 0, to = 0; row < side; row++) {
    for (let column = 0; column < side; column++, to += 3) {
      const from = 3 * (inside(top + row, height) * width + inside(left + column, width));
      out.set(flat.subarray(from, from + 3), to);
    }
  }
  return out;
}

/** What a photograph's own transparency covers: of two values the higher one is the object, one value is no mask. */
function coverOfAlpha(pixels) {
  const cover = new Uint8Array(pixels.length / 4);
  const values = new Set();
  for (let at = 0; at < cover.length; at++) {
    cover[at] = pixels[4 * at + 3];
    if (values.size < 3) values.add(cover[at]);
  }
  const high = Math.max(...values);
  if (values.size === 1) return cover.fill(high ? 255 : 0);
  return values.size === 2 ? cover.map((value) => (value === high ? 255 : 0)) : cover;
}

/** Centred in the smallest square that holds it, whose missing sides repeat the border, then scaled. */
function resized(flat, width, height, size) {
  const side = Math.max(width, height);
  if (side === size && width === height) return flat;
  const weights = hammingWeights(side, size);
  const padLeft = Math.floor((side - width) / 2), padTop = Math.floor((side - height) / 2);
  const within = (place, count) => Math.min(count - 1, Math.max(0, place));
  // Across first, then down, as Pillow does; each pass rounds to bytes.
  const across = new Uint8Array(3 * size * height);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < size; column++) {
      const { first, taps } = weights[column];
      for (let channel = 0; channel < 3; channel++) {
        let sum = 2 ** (BITS - 1);
        for (let n = 0; n < taps.length; n++) sum += taps[n] * flat[3 * (row * width + within(first + n - padLeft, width)) + channel];
        across[3 * (row * size + column) + channel] = byteOf(sum);
      }
    }
  }
  const out = new Uint8Array(3 * size * size);
  for (let row = 0; row < size; row++) {
    const { first, taps } = weights[row];
    for (let place = 0; place < 3 * size; place++) {
      let sum = 2 ** (BITS - 1);
      for (let n = 0; n < taps.length; n++) sum += taps[n] * across[3 * size * within(first + n - padTop, height) + place];
      out[3 * size * row + place] = byteOf(sum);
    }
  }
  return out;
}

function byteOf(sum) {
  return Math.min(255, Math.max(0, Math.floor(sum / 2 ** BITS)));
}

/** For each of `to` pixels the first of the `from` that it is made of and their whole-numbered weights. */
function hammingWeights(from, to) {
  const scale = from / to, support = Math.max(scale, 1);
  return Array.from({ length: to }, (_, place) => {
    const centre = (place + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(from, Math.trunc(centre + support + 0.5));
    const shares = Array.from({ length: last - first }, (_, n) => hamming((n + first - centre + 0.5) / support));
    const total = shares.reduce((sum, share) => sum + share, 0);
    return { first, taps: shares.map((share) => Math.round(share / total * 2 ** BITS)) };
  });
}

/** A windowed sinc; it is nowhere negative. */
function hamming(x) {
  const far = Math.abs(x) * Math.PI;
  if (far === 0) return 1;
  return far >= Math.PI ? 0 : Math.sin(far) / far * (0.54 + 0.46 * Math.cos(far));
}
