// Bars of classes, the bar of time with its stretches, the map over the picture, and the curve below it.

const FOR = [228, 87, 46], AGAINST = [46, 110, 228];
const STRONGEST = 0.75;

/** An element with properties and children. */
export function make(kind, properties = {}, ...children) {
  const made = Object.assign(document.createElement(kind), properties);
  made.append(...children);
  return made;
}

/** The colour of a class: far from those of its neighbours in the list of classes. */
export function colourOf(classes, label) {
  return `hsl(${(Math.max(classes.indexOf(label), 0) * 137.5 + 210) % 360} 62% 66%)`;
}

/** What a head says, as one name: its class, or all labels of a multi-label head. */
export function saidBy(head) {
  if (!head.labels) return { label: head.label, probability: head.probability };
  const label = head.labels.map(one => one.label).join(", ") || "none of the classes";
  return { label, probability: (head.labels[0] ?? head.top[0]).probability };
}

/** Rows of a class, a bar and a percentage. */
export function classBars(place, top, classes) {
  place.replaceChildren(...top.map(({ label, probability }) => {
    const fill = make("i");
    fill.style.width = `${100 * probability}%`;
    fill.style.background = colourOf(classes, label);
    const name = make("span", { textContent: label, title: label });
    return make("div", { className: "class" }, name, make("div", { className: "track" }, fill),
      make("b", { textContent: `${(100 * probability).toFixed(1)} %` }));
  }));
}

/** The bar of time: decisions as thin marks above, events as stretches with their names. */
export class TimeBar {
  constructor(place, jump, step) {
    this.place = place;
    this.head = make("i", { className: "head" });
    this.jump = jump;
    const at = event => {
      const box = place.getBoundingClientRect();
      jump(Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * this.duration);
    };
    place.addEventListener("pointerdown", event => { place.setPointerCapture(event.pointerId); at(event); });
    place.addEventListener("pointermove", event => { if (place.hasPointerCapture(event.pointerId)) at(event); });
    place.addEventListener("keydown", event => {
      const moves = { ArrowRight: () => step(1), ArrowDown: () => step(1), ArrowLeft: () => step(-1), ArrowUp: () => step(-1),
        Home: () => jump(0), End: () => jump(this.duration) };
      if (moves[event.key]) { event.preventDefault(); moves[event.key](); }
    });
  }

  show(decisions, events, duration, classes) {
    this.duration = duration || 1;
    this.place.setAttribute("aria-valuemax", this.duration.toFixed(2));
    const mark = (kind, start, end, label, strength) => {
      const made = make("i", { className: kind, title: `${label}, ${start.toFixed(2)} to ${end.toFixed(2)} s` });
      made.style.left = `${100 * start / this.duration}%`;
      made.style.width = `${100 * (end - start) / this.duration}%`;
      made.style.background = colourOf(classes, label);
      made.style.opacity = strength;
      return made;
    };
    const marks = decisions.map((one, number) => {
      const before = number ? (decisions[number - 1].time + one.time) / 2 : one.start;
      const after = number + 1 < decisions.length ? (one.time + decisions[number + 1].time) / 2 : one.end;
      return mark("decision", before, after, one.label, 0.3 + 0.7 * one.probability);
    });
    const stretches = events.map(one => {
      const made = mark("stretch", one.start, one.end, one.label, 1);
      made.textContent = one.label;
      return made;
    });
    this.place.replaceChildren(...marks, ...stretches, this.head);
  }

  at(time, words) {
    this.head.style.left = `${100 * Math.min(time / (this.duration || 1), 1)}%`;
    this.place.setAttribute("aria-valuenow", time.toFixed(2));
    this.place.setAttribute("aria-valuetext", words);
  }
}

/** The map of an explanation over a video. */
export class Heat {
  constructor(canvas, video) {
    this.canvas = canvas;
    this.video = video;
    this.pictures = [];
  }

  /** Draw the small pictures of all times once; null removes them. */
  of(explanation) {
    this.explanation = explanation;
    this.pictures = [];
    if (explanation) {
      const values = explanation.views.flatMap(view => view.map.flatMap((grid, t) => grid.flat().map(v => Math.abs(v) / view.frames[t].length)));
      const largest = Math.max(...values) || 1;
      for (const view of explanation.views) {
        view.map.forEach((grid, t) => {
          const times = view.frames[t].map(frame => explanation.timestamps[frame]);
          const picture = make("canvas", { width: grid[0].length, height: grid.length });
          const pixels = new ImageData(grid[0].length, grid.length);
          grid.flat().forEach((value, place) => {
            const share = value / view.frames[t].length / largest;
            pixels.data.set([...(share > 0 ? FOR : AGAINST), 255 * STRONGEST * Math.abs(share)], 4 * place);
          });
          picture.getContext("2d").putImageData(pixels, 0, 0);
          this.pictures.push({ view, picture, time: times.reduce((sum, one) => sum + one, 0) / times.length });
        });
      }
    }
    this.draw(this.video.currentTime);
  }

  draw(time) {
    const { canvas, video, explanation } = this;
    const box = canvas.getBoundingClientRect();
    canvas.width = Math.round(box.width * devicePixelRatio);
    canvas.height = Math.round(box.height * devicePixelRatio);
    if (!explanation || !video.videoWidth) return;
    const [height, width] = explanation.size;
    const scale = Math.min(canvas.width / width, canvas.height / height);
    const left = (canvas.width - scale * width) / 2, top = (canvas.height - scale * height) / 2;
    const context = canvas.getContext("2d");
    for (const view of explanation.views) {
      const mine = this.pictures.filter(one => one.view === view);
      const nearest = mine.reduce((best, one) => (Math.abs(one.time - time) < Math.abs(best.time - time) ? one : best));
      const at = [left + scale * view.box.left, top + scale * view.box.top, scale * view.box.width, scale * view.box.height];
      context.globalAlpha = 1 / explanation.views.length;
      context.drawImage(nearest.picture, ...at);
      context.globalAlpha = 1;
      context.strokeStyle = "rgba(255,255,255,.6)";
      context.strokeRect(...at);
    }
  }
}

/** The curve of an explanation over the time of its video. */
export function curve(canvas, explanation, duration, time) {
  canvas.width = canvas.clientWidth * devicePixelRatio;
  canvas.height = canvas.clientHeight * devicePixelRatio;
  const context = canvas.getContext("2d"), middle = canvas.height / 2;
  const largest = Math.max(...explanation.curve.map(Math.abs)) || 1;
  const view = explanation.views[0];
  explanation.curve.forEach((value, t) => {
    const times = view.frames[t].map(frame => explanation.timestamps[frame]);
    const [first, last] = [Math.min(...times), Math.max(...times)];
    const step = duration / Math.max(explanation.timestamps.length, 1);
    const left = first / duration * canvas.width, right = (last + step) / duration * canvas.width;
    const height = value / largest * (middle - 3);
    context.fillStyle = `rgb(${(value > 0 ? FOR : AGAINST).join(" ")})`;
    context.fillRect(left, Math.min(middle, middle - height), Math.max(right - left, 1), Math.abs(height));
  });
  context.fillStyle = getComputedStyle(canvas).color;
  context.fillRect(0, middle, canvas.width, 1);
  context.fillRect(time / duration * canvas.width - 1, 0, 2, canvas.height);
}
