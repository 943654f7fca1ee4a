// What is drawn of a sound: the lowest and highest sample and the loudness of every column.

import { getBytes } from "./api.js";
import { decode } from "./sound.js";

const KEPT_COLUMNS = 480; // of a clip in a list: its audio is let go
const AT_ONCE = 2;

const empty = (columns) => ({ columns, low: new Float32Array(columns), high: new Float32Array(columns), rms: new Float32Array(columns) });

export function peaksOf(buffer, columns) {
  const peaks = empty(columns);
  const channels = Array.from({ length: buffer.numberOfChannels }, (_, c) => buffer.getChannelData(c));
  const step = buffer.length / columns;
  const stride = Math.max(1, Math.floor(step / 400)); // enough to draw a song of minutes at once
  for (let x = 0; x < columns; x++) {
    let low = 0, high = 0, power = 0, count = 0;
    const end = Math.min(buffer.length, Math.ceil((x + 1) * step));
    for (let i = Math.floor(x * step); i < end; i += stride) {
      for (const channel of channels) {
        const sample = channel[i];
        if (sample < low) low = sample;
        if (sample > high) high = sample;
        power += sample * sample;
        count++;
      }
    }
    peaks.low[x] = low;
    peaks.high[x] = high;
    peaks.rms[x] = Math.sqrt(power / Math.max(1, count));
  }
  return peaks;
}

export function resampled(peaks, columns) {
  const out = empty(columns);
  for (let x = 0; x < columns; x++) {
    const first = Math.floor((x * peaks.columns) / columns);
    const last = Math.max(first + 1, Math.ceil(((x + 1) * peaks.columns) / columns));
    for (let i = first; i < last; i++) {
      out.low[x] = Math.min(out.low[x], peaks.low[i]);
      out.high[x] = Math.max(out.high[x], peaks.high[i]);
      out.rms[x] = Math.max(out.rms[x], peaks.rms[i]);
    }
  }
  return out;
}

const summaries = new Map(); // url → promise of { duration, peaks }
const waiting = [];
let working = 0;

// For lists: decoded two at a time, only the columns are kept.
export function summary(url) {
  if (!summaries.has(url)) {
    const promise = new Promise((resolve, reject) => waiting.push({ url, resolve, reject }));
    promise.catch(() => summaries.delete(url));
    summaries.set(url, promise);
    work();
  }
  return summaries.get(url);
}

async function work() {
  if (working >= AT_ONCE || !waiting.length) return;
  const { url, resolve, reject } = waiting.shift();
  working++;
  try {
    const buffer = await decode(await getBytes(url));
    resolve({ duration: buffer.duration, length: buffer.length, peaks: peaksOf(buffer, KEPT_COLUMNS) });
  } catch (error) {
    reject(error);
  } finally {
    working--;
    work();
  }
}
