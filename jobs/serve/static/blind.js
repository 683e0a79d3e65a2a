// The blind test: which of the files sounds best, if nobody knows which is which. After each choice the order changes.

/** The files in a random order. */
function shuffled(files) {
  const found = [...files];
  for (let i = found.length - 1; i > 0; i -= 1) {
    const j = Math.floor(Math.random() * (i + 1));
    [found[i], found[j]] = [found[j], found[i]];
  }
  return found;
}

/** Chance that at least k of n choices fall on one file of m, if every choice is a guess. */
function tail(n, k, m) {
  let sum = 0, term = (1 - 1 / m) ** n;
  for (let i = 0; i <= n; i += 1) {
    if (i >= k) sum += term;
    term *= (n - i) / (i + 1) / (m - 1);
  }
  return sum;
}

export class Blind {
  constructor(files) {
    this.files = files;
    this.counts = new Map(files.map((file) => [file, 0]));
    this.n = 0;
    this.order = shuffled(files);
  }

  /** Counts a choice, and shuffles again. */
  choose(file) {
    this.counts.set(file, this.counts.get(file) + 1);
    this.n += 1;
    this.order = shuffled(this.files);
  }

  /** What came of it, in words; `name(file)` says which file. */
  result(name) {
    if (!this.n) return "The blind test ended without a choice.";
    const found = this.files.map((file) => [file, this.counts.get(file)]).sort((a, b) => b[1] - a[1]);
    const words = found.map(([file, count]) => `${name(file)}: ${count}`).join(" · ");
    const chance = Math.min(1, this.files.length * tail(this.n, found[0][1], this.files.length));
    return `Chosen in ${this.n} ${this.n === 1 ? "round" : "rounds"}: ${words}. Guessing gets that far in `
      + `${Math.round(100 * chance)} of 100 tests.`;
  }
}
