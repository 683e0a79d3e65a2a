// Plays one of several lanes at a time, all on one musical axis and one clock, in frames of 48 kHz. The sound comes in
// windows of 5 s; each is started at a frame of the context, so that windows join without a seam and another lane goes
// on at the very frame where this one fades.

const RATE = 48000;
const WINDOW = 5 * RATE;
/** Windows that are held in memory, 1.92 MB each: 54 MB, and browsers take their time to give back what is dropped. */
const MOST_WINDOWS = 28;
const AT_ONCE = 4;
/** Frames of a fade, 6 ms. */
const FADE = 288;
/** Frames that are started ahead: timers of a hidden page run once a second. */
const AHEAD = 4 * RATE;
const RETRY_MS = 3000;

/** Buffers of one window's length, used again and again: browsers are slow to give memory back. */
class Buffers {
  constructor() {
    this.free = [];
    this.channels = [new Float32Array(WINDOW), new Float32Array(WINDOW)];
  }

  /** A buffer with these samples: left and right by turns. */
  filled(samples) {
    const [left, right] = this.channels;
    for (let i = 0; i < WINDOW; i += 1) {
      left[i] = samples[2 * i] / 32768;
      right[i] = samples[2 * i + 1] / 32768;
    }
    const buffer = this.free.pop() ?? new AudioBuffer({ length: WINDOW, numberOfChannels: 2, sampleRate: RATE });
    buffer.copyToChannel(left, 0);
    buffer.copyToChannel(right, 1);
    return buffer;
  }
}

/** Windows of lanes, fetched in the order in which they are needed; those not needed longest go first. */
class Windows {
  constructor(buffers, address, arrived) {
    this.buffers = buffers;
    this.address = address;
    this.arrived = arrived;
    this.kept = new Map();
    this.asked = new Map();
    this.failed = new Map();
    this.needed = [];
  }

  get(lane, number) {
    return this.kept.get(`${lane} ${number}`);
  }

  /** Sets what is needed, most urgent first: [lane, number, whether somebody is waiting for it]. */
  need(list) {
    this.needed = list.slice(0, MOST_WINDOWS);
    const names = new Set(this.needed.map(([lane, number]) => `${lane} ${number}`));
    for (const [name, asked] of this.asked) if (!names.has(name)) asked.abort();
    for (const name of names) {
      const found = this.kept.get(name);
      if (found) { this.kept.delete(name); this.kept.set(name, found); }
    }
    this.fetchMore();
  }

  fetchMore() {
    for (const [lane, number, isUrgent] of this.needed) {
      const name = `${lane} ${number}`;
      if (this.asked.size >= AT_ONCE + (isUrgent ? 1 : 0)) return;
      if (this.kept.has(name) || this.asked.has(name) || performance.now() < (this.failed.get(name) ?? 0)) continue;
      this.fetch(name, lane, number);
    }
  }

  async fetch(name, lane, number) {
    const stop = new AbortController();
    this.asked.set(name, stop);
    try {
      const answer = await fetch(this.address(lane, number * WINDOW / RATE, WINDOW / RATE), { signal: stop.signal });
      if (!answer.ok) throw new Error((await answer.json()).error);
      const samples = new Int16Array(await answer.arrayBuffer());
      if (!stop.signal.aborted) this.keep(name, lane, samples);
    } catch (error) {
      if (!stop.signal.aborted) {
        this.failed.set(name, performance.now() + RETRY_MS);
        this.arrived(lane, error.message);
      }
    } finally {
      if (this.asked.get(name) === stop) this.asked.delete(name);
    }
    this.fetchMore();
  }

  keep(name, lane, samples) {
    for (const oldest of this.kept.keys()) {
      if (this.kept.size < MOST_WINDOWS) break;
      this.drop(oldest);
    }
    this.kept.set(name, { lane, buffer: this.buffers.filled(samples), n_sounding: 0, isDropped: false });
    this.arrived(lane, "");
  }

  /** Lets a window go; its buffer is used again when nothing sounds from it. */
  drop(name) {
    const one = this.kept.get(name);
    this.kept.delete(name);
    one.isDropped = true;
    if (!one.n_sounding) this.buffers.free.push(one.buffer);
  }

  /** Says that a source begins to use a window, or no longer does. */
  sounds(one, change) {
    one.n_sounding += change;
    if (one.isDropped && !one.n_sounding) this.buffers.free.push(one.buffer);
  }

  forget(lane) {
    for (const [name, one] of [...this.kept]) if (lane === null || one.lane === lane) this.drop(name);
    for (const [name, asked] of [...this.asked]) {
      if (lane === null || name.startsWith(`${lane} `)) { asked.abort(); this.asked.delete(name); }
    }
  }
}

/** One lane sounding, from a frame of the context on. */
class Voice {
  constructor(engine, lane, frame, at, fadesIn) {
    this.engine = engine;
    this.lane = lane;
    this.frame = frame;
    this.at = at;
    this.sources = new Set();
    const { context } = engine;
    this.fade = context.createGain();
    this.level = context.createGain();
    this.level.gain.value = engine.level(lane);
    this.fade.connect(this.level).connect(engine.output);
    if (fadesIn) {
      this.fade.gain.setValueAtTime(0, frame / RATE);
      this.fade.gain.linearRampToValueAtTime(1, (frame + FADE) / RATE);
    }
  }

  /** Starts what is there of the next seconds. */
  fill(now) {
    while (this.frame < now + AHEAD && this.at < this.engine.end) {
      const { windows } = this.engine, number = Math.floor(this.at / WINDOW), one = windows.get(this.lane, number);
      if (!one) return;
      const inside = this.at - number * WINDOW, { loop, end } = this.engine;
      let n = Math.min(WINDOW - inside, end - this.at);
      if (loop && this.at < loop.end) n = Math.min(n, loop.end - this.at);
      const source = new AudioBufferSourceNode(this.engine.context, { buffer: one.buffer });
      source.connect(this.fade);
      source.start(this.frame / RATE, inside / RATE, n / RATE);
      source.onended = () => {
        source.disconnect();
        this.sources.delete(source);
        windows.sounds(one, -1);
      };
      this.sources.add(source);
      windows.sounds(one, 1);
      this.frame += n;
      this.at += n;
      if (loop && this.at === loop.end) this.at = loop.start;
    }
  }

  /** Fades out from a frame on, and ends. */
  stop(frame) {
    this.fade.gain.cancelScheduledValues(frame / RATE);
    this.fade.gain.setValueAtTime(1, frame / RATE);
    this.fade.gain.linearRampToValueAtTime(0, (frame + FADE) / RATE);
    for (const source of this.sources) source.stop((frame + FADE) / RATE);
    setTimeout(() => { this.fade.disconnect(); this.level.disconnect(); }, 200);
  }
}

/** The player. Lanes are names; `address(lane, start, length)` leads to their sound, in seconds of the axis. */
export class Engine {
  /** `changed()` is called when something begins, ends or waits; `failed(lane, text)` when a window does not come. */
  constructor(changed, failed) {
    this.context = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
    this.output = this.context.createGain();
    this.heardBy = new AnalyserNode(this.context, { fftSize: 32768, smoothingTimeConstant: 0 });
    this.output.connect(this.heardBy).connect(this.context.destination);
    this.buffers = new Buffers();
    this.changed = changed;
    this.failed = failed;
    this.matches = true;
    this.clear();
    setInterval(() => this.tick(), 40);
  }

  /** Forgets all lanes. */
  clear() {
    this.voice?.stop(this.soon());
    this.windows?.need([]);
    this.windows?.forget(null);
    this.lanes = [];
    this.gains = new Map();
    this.voice = this.loop = null;
    this.target = "";
    this.isPlaying = false;
    this.anchor = { frame: 0, at: 0 };
    this.begin = this.end = 0;
    this.mayAsk = () => true;
  }

  /** Takes the lanes of a lineup, most urgent first, the axis in seconds, and whether a span of a lane is decoded. */
  load(lanes, begin, end, address, mayAsk) {
    this.clear();
    this.lanes = lanes;
    this.begin = Math.floor(begin * RATE);
    this.end = Math.ceil(end * RATE);
    this.mayAsk = mayAsk;
    this.windows = new Windows(this.buffers, address, (lane, problem) => {
      if (problem && lane === this.target) this.failed(lane, problem);
      this.tick();
    });
    this.target = lanes[0];
    this.anchor.at = Math.max(0, this.begin);
  }

  // ---- the clock ----

  now() { return Math.round(this.context.currentTime * RATE); }

  /** The first frame at which something can still begin in time. */
  soon() { return this.now() + Math.max(960, Math.ceil(2 * (this.context.baseLatency || 0) * RATE)); }

  /** The frame of the axis that sounds at a frame of the context. */
  placeAt(frame) {
    if (!this.voice) return this.anchor.at;
    let at = this.anchor.at + Math.max(0, frame - this.anchor.frame);
    const { loop } = this;
    if (loop && this.anchor.at < loop.end && at >= loop.end) {
      at = loop.start + (at - loop.end) % (loop.end - loop.start);
    }
    return Math.min(at, this.end);
  }

  /** Musical second that is heard now. */
  get position() { return this.placeAt(this.now()) / RATE; }

  /** Whether it should sound, and the sound is not there yet. */
  get isWaiting() { return this.isPlaying && (!this.voice || this.voice.lane !== this.target); }

  // ---- what a person does ----

  async play() {
    this.isPlaying = true;
    if (this.anchor.at >= this.end && !this.voice) this.anchor.at = this.loop?.start ?? Math.max(0, this.begin);
    if (this.context.state !== "running") await this.context.resume();
    this.tick();
    this.changed();
  }

  pause() {
    this.hold(this.placeAt(this.soon()));
    this.isPlaying = false;
    this.changed();
  }

  /** Hears another lane from this instant on. */
  hear(lane) {
    this.target = lane;
    this.tick();
    this.changed();
  }

  /** Goes to a musical second. */
  seek(seconds) {
    const at = Math.min(Math.max(Math.round(seconds * RATE), this.begin), this.end);
    if (this.loop && (at < this.loop.start || at >= this.loop.end)) this.loop = null;
    this.hold(at);
    this.tick();
    this.changed();
  }

  /** Repeats a stretch, in seconds, or nothing; the playhead is inside it. */
  repeat(stretch) {
    const frame = this.soon(), at = this.placeAt(frame);
    this.loop = stretch && { start: Math.round(stretch[0] * RATE), end: Math.round(stretch[1] * RATE) };
    if (this.voice) this.begins(this.voice.lane, frame, at);
    this.tick();
    this.changed();
  }

  /** Sets the gain of a lane in dB, for when loudness is matched. */
  setGain(lane, db) {
    if (this.gains.get(lane) === db) return;
    this.gains.set(lane, db);
    this.adjust();
  }

  match(matches) {
    this.matches = matches;
    this.adjust();
    this.changed();
  }

  /** Drops the sound of a lane, which lies elsewhere now. */
  forget(lane) {
    this.windows.forget(lane);
    if (this.voice?.lane === lane) this.hold(this.placeAt(this.soon()));
    this.tick();
  }

  // ---- how it is done ----

  level(lane) { return this.matches ? 10 ** ((this.gains.get(lane) ?? 0) / 20) : 1; }

  adjust() {
    if (this.voice) {
      this.voice.level.gain.setTargetAtTime(this.level(this.voice.lane), this.context.currentTime, 0.02);
    }
  }

  /** Ends the voice and stands at a place. */
  hold(at) {
    this.voice?.stop(this.soon());
    this.voice = null;
    this.anchor = { frame: 0, at };
  }

  /** Lets a lane sound from a frame on, in place of what sounds. */
  begins(lane, frame, at) {
    this.voice?.stop(frame);
    this.anchor = { frame, at };
    this.voice = new Voice(this, lane, frame, at, true);
  }

  tick() {
    if (!this.lanes.length) return;
    const isRunning = this.context.state === "running";
    if (this.isPlaying && isRunning) {
      const frame = this.soon();
      let at = this.placeAt(frame);
      if (this.voice && this.voice.frame <= this.now() && this.voice.at < this.end) {
        at = this.voice.at;  // the next window did not come in time
        this.hold(at);
        this.changed();
      }
      if (at >= this.end && this.voice && this.placeAt(this.now()) >= this.end) {
        this.hold(this.end);
        this.isPlaying = false;
        this.changed();
      } else if (this.voice?.lane !== this.target && at < this.end && this.has(this.target, at)) {
        this.begins(this.target, frame, at);
        this.changed();
      }
      this.voice?.fill(this.now());
    }
    this.windows.need(this.needs());
  }

  has(lane, at) { return Boolean(this.windows.get(lane, Math.floor(at / WINDOW))); }

  /** What is needed now and next, most urgent first. */
  needs() {
    const at = this.placeAt(this.now()), first = Math.floor(at / WINDOW);
    const last = Math.floor((this.end - 1) / WINDOW), list = [];
    const numbers = [first, first + 1];
    if (this.loop) {
      const ends = [Math.floor(this.loop.start / WINDOW), Math.floor((this.loop.end - 1) / WINDOW)];
      numbers.splice(1, 1, ...ends.filter((number) => number !== first));
    }
    const heard = [...new Set([this.target, this.voice?.lane ?? this.target])];
    const others = this.lanes.filter((lane) => !heard.includes(lane));
    for (const lanes of [heard, others]) {
      for (const number of [...new Set(numbers)].filter((each) => each <= last)) {
        for (const lane of lanes) {
          const isUrgent = lane === this.target && number === first;
          if (isUrgent || this.mayAsk(lane, number * WINDOW / RATE, (number + 1) * WINDOW / RATE)) {
            list.push([lane, number, isUrgent]);
          }
        }
      }
    }
    return list;
  }

  /** The last 0.68 s that were heard, and for how long this lane has sounded without a jump, for whoever checks it. */
  heard() {
    const samples = new Float32Array(this.heardBy.fftSize);
    this.heardBy.getFloatTimeDomainData(samples);
    const since = this.isWaiting || !this.voice ? 0 : Math.max(0, this.now() - this.anchor.frame) / RATE;
    return { position: this.position, time: this.context.currentTime, since, samples };
  }

  /** Bytes of sound in memory. */
  get bytes() {
    let n = 0;
    for (const { buffer } of this.windows?.kept.values() ?? []) n += buffer.length * buffer.numberOfChannels * 4;
    return n;
  }
}
