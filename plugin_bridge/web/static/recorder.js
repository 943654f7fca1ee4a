// The microphone, as a WAV file: the browser's own recording format is not one the daemon reads.

import { decode } from "./sound.js";

let recorder = null;

export const isRecording = () => Boolean(recorder);
export const stopRecording = () => recorder?.stop();

// Records until `stopRecording`; `started` is called once the microphone is open.
export async function record(started) {
  if (!navigator.mediaDevices) throw new Error("the browser gives the microphone only to pages on this machine or by https");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
  } catch (error) {
    throw new Error(`the microphone cannot be used: ${error.message}`);
  }
  const pieces = [];
  recorder = new MediaRecorder(stream);
  recorder.ondataavailable = (event) => pieces.push(event.data);
  const ended = new Promise((resolve) => (recorder.onstop = resolve));
  recorder.start();
  started();
  await ended;
  recorder = null;
  for (const track of stream.getTracks()) track.stop();
  return wav(await decode(await new Blob(pieces).arrayBuffer()));
}

// 32-bit float.
function wav(buffer) {
  const channels = buffer.numberOfChannels;
  const bytes = buffer.length * channels * 4;
  const view = new DataView(new ArrayBuffer(44 + bytes));
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + bytes, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 3, true);
  view.setUint16(22, channels, true);
  view.setUint32(24, buffer.sampleRate, true);
  view.setUint32(28, buffer.sampleRate * channels * 4, true);
  view.setUint16(32, channels * 4, true);
  view.setUint16(34, 32, true);
  text(36, "data");
  view.setUint32(40, bytes, true);
  for (let c = 0; c < channels; c++) {
    const samples = buffer.getChannelData(c);
    for (let i = 0; i < samples.length; i++) view.setFloat32(44 + (i * channels + c) * 4, samples[i], true);
  }
  return new Blob([view], { type: "audio/wav" });
}
