// Loss while a training runs, one curve per stage: as measured, thin; on held-out files, thick with dots.

import { el } from "./dom.js";

export function curves(ticks) {
  const stages = [...new Set(ticks.map((tick) => tick.stage))];
  return el("div.curves", {}, ...stages.map((stage) => curve(stage, ticks.filter((tick) => tick.stage === stage))));
}

function curve(stage, own) {
  const last = own.at(-1);
  const held = own.filter((tick) => tick.validation !== null && tick.validation !== undefined);
  const canvas = el("canvas.curve", { role: "img", "aria-label": `loss of stage ${stage}` });
  canvas.dataset.points = own.length;
  canvas.paint = () => paint(canvas, own, held);
  const better = held.length > 1 ? ` → ${held.at(-1).validation.toFixed(4)}` : "";
  const numbers = `loss ${last.loss.toFixed(4)}${held.length ? `, held out ${held[0].validation.toFixed(4)}${better}` : ""}`;
  return el("figure", {}, el("figcaption", {}, el("strong", {}, `stage ${stage}`), ` step ${last.step} of ${last.total_steps} · ${numbers}`), canvas);
}

export function paintCurves(root) {
  for (const canvas of root.querySelectorAll("canvas.curve")) canvas.paint?.();
}

function paint(canvas, ticks, held) {
  const ratio = window.devicePixelRatio || 1;
  const width = (canvas.width = Math.round(canvas.clientWidth * ratio));
  const height = (canvas.height = Math.round(canvas.clientHeight * ratio));
  if (!width || !height) return;
  const style = getComputedStyle(canvas);
  const ink = (name) => style.getPropertyValue(name).trim();
  const context = canvas.getContext("2d");
  const values = [...ticks.map((tick) => tick.loss), ...held.map((tick) => tick.validation)].filter(Number.isFinite);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const pad = 8 * ratio;
  const left = 52 * ratio; // the labels' room
  const x = (step) => left + (step / (ticks.at(-1).total_steps || 1)) * (width - left - pad);
  const y = (value) => height - pad - ((value - low) / (high - low || 1)) * (height - 2 * pad);
  const line = (points, colour, thick) => {
    context.strokeStyle = colour;
    context.lineWidth = thick * ratio;
    context.beginPath();
    points.forEach(([step, value], i) => context[i ? "lineTo" : "moveTo"](x(step), y(value)));
    context.stroke();
  };
  context.fillStyle = ink("--wave-beat");
  for (let i = 0; i <= 4; i++) context.fillRect(left, pad + (i / 4) * (height - 2 * pad), width - left - pad, Math.max(1, ratio));
  line(ticks.map((tick) => [tick.step, tick.loss]), ink("--wave-peak"), 1);
  line(held.map((tick) => [tick.step, tick.validation]), ink("--wave-played-rms"), 2);
  context.fillStyle = ink("--wave-played-rms");
  for (const tick of held) {
    context.beginPath();
    context.arc(x(tick.step), y(tick.validation), 3 * ratio, 0, 7);
    context.fill();
  }
  context.fillStyle = ink("--wave-label");
  context.font = `${11 * ratio}px system-ui, sans-serif`;
  context.fillText(high.toFixed(3), pad, pad + 10 * ratio);
  context.fillText(low.toFixed(3), pad, height - pad);
}
