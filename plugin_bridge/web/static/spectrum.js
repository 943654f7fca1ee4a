// A spectrogram on a canvas: short-time Fourier transform, logarithmic frequency, decibels as brightness.

const SIZE = 2048;
const LOW_HZ = 40;
const HIGH_HZ = 18000;
const FLOOR_DB = -85;

function fft(re, im) {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [re[i], re[j]] = [re[j], re[i]];
      [im[i], im[j]] = [im[j], im[i]];
    }
  }
  for (let size = 2; size <= n; size <<= 1) {
    const angle = (-2 * Math.PI) / size;
    const half = size >> 1;
    for (let k = 0; k < half; k++) {
      const wr = Math.cos(angle * k);
      const wi = Math.sin(angle * k);
      for (let i = k; i < n; i += size) {
        const j = i + half;
        const tr = wr * re[j] - wi * im[j];
        const ti = wr * im[j] + wi * re[j];
        re[j] = re[i] - tr;
        im[j] = im[i] - ti;
        re[i] += tr;
        im[i] += ti;
      }
    }
  }
}

// Dark violet to yellow, the same in light and dark pages.
function colour(v) {
  const r = 255 * Math.min(1, Math.max(0, 1.6 * v - 0.15));
  const g = 255 * Math.min(1, Math.max(0, 1.7 * v - 0.65));
  const b = 255 * Math.min(1, Math.max(0, v < 0.5 ? 0.12 + 1.1 * v : 1.3 - 1.25 * v));
  return [r, g, b];
}

export function drawSpectrogram(canvas, buffer) {
  const width = Math.min(1000, Math.max(200, canvas.clientWidth || 600));
  const height = 160;
  canvas.width = width;
  canvas.height = height;
  const mono = new Float32Array(buffer.length);
  for (let c = 0; c < buffer.numberOfChannels; c++) {
    const channel = buffer.getChannelData(c);
    for (let i = 0; i < mono.length; i++) mono[i] += channel[i] / buffer.numberOfChannels;
  }
  const hann = Float32Array.from({ length: SIZE }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / SIZE));
  const bins = Array.from({ length: height + 1 }, (_, y) => {
    const hz = LOW_HZ * (HIGH_HZ / LOW_HZ) ** (1 - y / height);
    return Math.min(SIZE / 2 - 1, (hz * SIZE) / buffer.sampleRate);
  });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const re = new Float32Array(SIZE);
  const im = new Float32Array(SIZE);
  for (let x = 0; x < width; x++) {
    const centre = Math.round(((x + 0.5) / width) * mono.length);
    for (let i = 0; i < SIZE; i++) {
      re[i] = (mono[centre - SIZE / 2 + i] ?? 0) * hann[i];
      im[i] = 0;
    }
    fft(re, im);
    for (let y = 0; y < height; y++) {
      let power = 0;
      for (let k = Math.floor(bins[y + 1]); k <= Math.ceil(bins[y]); k++) power = Math.max(power, re[k] ** 2 + im[k] ** 2);
      const db = 10 * Math.log10(power / (SIZE / 4) ** 2 + 1e-12);
      const [r, g, b] = colour(Math.min(1, Math.max(0, 1 - db / FLOOR_DB)));
      image.data.set([r, g, b, 255], 4 * (y * width + x));
    }
  }
  context.putImageData(image, 0, 0);
}
