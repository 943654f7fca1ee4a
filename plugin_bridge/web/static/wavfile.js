// A sound as a WAV file: 32-bit float, and with tempo and beats for DAWs where it has a grid.

export function wav(buffer, grid = null) {
  const channels = buffer.numberOfChannels;
  const bytes = buffer.length * channels * 4;
  const acid = grid ? 8 + 24 : 0;
  const view = new DataView(new ArrayBuffer(44 + acid + bytes));
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, view.byteLength - 8, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 3, true);
  view.setUint16(22, channels, true);
  view.setUint32(24, buffer.sampleRate, true);
  view.setUint32(28, buffer.sampleRate * channels * 4, true);
  view.setUint16(32, channels * 4, true);
  view.setUint16(34, 32, true);
  if (grid) {
    text(36, "acid");
    view.setUint32(40, 24, true);
    view.setUint32(44, 4, true); // a loop that may be stretched
    view.setUint32(56, Math.round((grid.bars * grid.numerator * 4) / grid.denominator), true); // quarters
    view.setUint16(60, grid.denominator, true);
    view.setUint16(62, grid.numerator, true);
    view.setFloat32(64, grid.bpm, true);
  }
  const data = 36 + acid;
  text(data, "data");
  view.setUint32(data + 4, bytes, true);
  for (let c = 0; c < channels; c++) {
    const samples = buffer.getChannelData(c);
    for (let i = 0; i < samples.length; i++) view.setFloat32(data + 8 + (i * channels + c) * 4, samples[i], true);
  }
  return new Blob([view], { type: "audio/wav" });
}
