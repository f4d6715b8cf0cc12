// The camera tab: pictures with their times go over a WebSocket, one for each credit; decisions come back.

import { classBars, colourOf, make, saidBy } from "./draw.js";
import { address } from "./api.js";

const $ = id => document.getElementById(id);
const WITHOUT_RATE = 15;
const STRIP_SECONDS = 60;

/** Make the button of the tab work; `model` and `classes` are functions. */
export function watchCamera(model, classes) {
  let stop = null;
  $("watch").addEventListener("click", () => {
    if (stop) { stop(); return; }
    watch(model(), classes(), words => { $("camera-status").textContent = words; }).then(
      ended => { stop = () => { ended(); stop = null; $("watch").textContent = "Watch the camera"; }; $("watch").textContent = "Stop"; },
      error => { $("camera-status").textContent = `No camera: ${error.message}`; },
    );
  });
}

async function watch(model, classes, say) {
  say("Waiting for the camera …");
  const media = await navigator.mediaDevices.getUserMedia({ video: true });
  const video = $("camera");
  video.srcObject = media;
  await video.play();
  const socket = new WebSocket(address(`${location.origin.replace("http", "ws")}/v1/stream`, { model: model.name }));
  socket.binaryType = "arraybuffer";
  let credits = 0, rate = WITHOUT_RATE, sent = 0, left = 0, last = -Infinity;
  const decisions = [];
  // Twice the side that the model resizes to: small to send, and no detail that the model sees is lost.
  const scale = Math.min(1, 2 * Math.max(...model.preprocessing.crop_size, model.preprocessing.resize) / Math.min(video.videoWidth, video.videoHeight));
  const canvas = make("canvas", { width: Math.round(scale * video.videoWidth), height: Math.round(scale * video.videoHeight) });
  const context = canvas.getContext("2d");
  const ended = () => {
    media.getTracks().forEach(track => track.stop());
    socket.close();
    say("");
  };
  function picture(now, frame) {
    if (socket.readyState > WebSocket.OPEN) return;
    video.requestVideoFrameCallback(picture);
    const time = frame.mediaTime || now / 1000;
    if (socket.readyState !== WebSocket.OPEN || time < last + 0.9 / rate) return;
    if (!credits) { left++; return; }
    last = time;
    credits--;
    context.drawImage(video, 0, 0, canvas.width, canvas.height);
    canvas.toBlob(async blob => {
      const message = new Uint8Array(8 + blob.size);
      new DataView(message.buffer).setFloat64(0, time, true);
      message.set(new Uint8Array(await blob.arrayBuffer()), 8);
      if (socket.readyState === WebSocket.OPEN) { socket.send(message); sent++; }
    }, "image/jpeg", 0.9);
  }
  socket.addEventListener("message", event => {
    const message = JSON.parse(event.data);
    if (message.type === "start") {
      credits = message.credits;
      rate = message.rate ?? WITHOUT_RATE;
      say("Watching; the first decision needs a whole window …");
      $("camera-work").hidden = false;
      video.requestVideoFrameCallback(picture);
    } else if (message.type === "credit") {
      credits += message.count;
    } else if (message.type === "decision") {
      const head = message.top ? message : Object.values(message.heads)[0], said = saidBy(head);
      decisions.push({ start: message.start, end: message.end, ...said });
      say(`${said.label}, ${(100 * said.probability).toFixed(0)} %`);
      classBars($("camera-classes"), head.labels ?? head.top, classes);
      $("camera-facts").textContent = `${decisions.length} decisions; ${sent} pictures sent, ${left} left out while the service was busy`;
      strip(decisions, classes);
    } else {
      say(`Refused: ${message.detail}`);
      ended();
    }
  });
  socket.addEventListener("close", () => media.getTracks().forEach(track => track.stop()));
  socket.addEventListener("error", () => say("Refused: the connection to the service broke"));
  return ended;
}

/** The decisions of the last minute, each from the end of the one before. */
function strip(decisions, classes) {
  const canvas = $("strip"), context = canvas.getContext("2d");
  canvas.width = canvas.clientWidth * devicePixelRatio;
  canvas.height = canvas.clientHeight * devicePixelRatio;
  const end = decisions.at(-1).end, start = Math.max(end - STRIP_SECONDS, decisions[0].start);
  const place = time => (time - start) / Math.max(end - start, 1) * canvas.width;
  decisions.forEach((one, number) => {
    const from = number ? decisions[number - 1].end : one.start;
    context.globalAlpha = 0.3 + 0.7 * one.probability;
    context.fillStyle = colourOf(classes, one.label);
    context.fillRect(place(from), 0, Math.max(place(one.end) - place(from), 1), canvas.height);
  });
  while (decisions.length > 2000) decisions.shift();
}
