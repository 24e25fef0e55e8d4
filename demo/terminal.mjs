// How the demo speaks: counts with separators, a progress bar, a check list.

const BAR_WIDTH = 28
const REDRAW_MS = 100

export function count(number) {
  return number.toLocaleString('en-US')
}

/** A progress bar that redraws itself on a terminal and writes a line each 10 % elsewhere. */
export class ProgressBar {
  #total
  #unit
  #out
  #startedAt = performance.now()
  #drawnAt = -Infinity
  #nextTenth = 1

  constructor(total, unit, out = process.stdout) {
    this.#total = total
    this.#unit = unit
    this.#out = out
  }

  update(done, note = '') {
    if (this.#out.isTTY) {
      const now = performance.now()
      if (done < this.#total && now - this.#drawnAt < REDRAW_MS) return
      this.#drawnAt = now
      // A line that wraps could not be redrawn.
      this.#out.write(`\r\x1b[K${this.#line(done, note).slice(0, (this.#out.columns || 80) - 1)}`)
    } else if (done * 10 >= this.#nextTenth * this.#total) {
      this.#nextTenth = Math.floor((done * 10) / this.#total) + 1
      this.#out.write(`${this.#line(done, note)}\n`)
    }
  }

  /** Leaves the last state on the screen. */
  end() {
    if (this.#out.isTTY && this.#drawnAt > 0) this.#out.write('\n')
  }

  #line(done, note) {
    const share = this.#total === 0 ? 1 : done / this.#total
    const filled = Math.round(share * BAR_WIDTH)
    const bar = '█'.repeat(filled) + '░'.repeat(BAR_WIDTH - filled)
    const rate = done / ((performance.now() - this.#startedAt) / 1000)
    const percent = `${String(Math.floor(share * 100)).padStart(3)} %`
    const eta = rate > 0 ? `ETA ${Math.ceil((this.#total - done) / rate)} s` : ''
    return ['', bar, percent, `${count(done)} ${this.#unit}`, `${count(Math.round(rate))}/s`, eta, note].join('  ').trimEnd()
  }
}

/** A list of checks; `failed` says how many did not hold. */
export class CheckList {
  failed = 0
  #lines = []

  /** Notes one check and returns whether it held. */
  check(ok, title, detail) {
    if (!ok) this.failed++
    this.#lines.push(`  ${ok ? '✓' : '✗'} ${title.padEnd(34)}${detail}`)
    return ok
  }

  /** Compares two values that must be the same, shown by `format`. */
  equal(got, want, title, format = count) {
    const detail = got === want ? format(want) : `want ${format(want)}, got ${got === undefined ? 'nothing' : format(got)}`
    return this.check(got === want, title, detail)
  }

  toString() {
    return this.#lines.join('\n')
  }
}
