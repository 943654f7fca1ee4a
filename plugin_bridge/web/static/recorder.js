// The microphone, as a WAV file: the browser's own recording format is not one the daemon reads.

import { decode } from "./sound.js";
import { wav } from "./wavfile.js";

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
