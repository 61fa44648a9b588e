/**
 * What the demo shows while it runs. On a terminal one picture that is drawn over itself a few times a second;
 * elsewhere a plain line every two seconds, so that a log file reads well. State: how many lines were drawn last,
 * and when the last plain line was written.
 */

export interface Frame {
  /** For a log file, in one line. */
  readonly plain: string
  /** For a terminal. */
  readonly lines: readonly string[]
}

export class Picture {
  readonly #out: NodeJS.WriteStream
  readonly #live: boolean
  #drawn = 0
  #lastPlainMs = Number.NEGATIVE_INFINITY

  constructor(out: NodeJS.WriteStream) {
    this.#out = out
    this.#live = out.isTTY === true && process.env['TERM'] !== 'dumb'
  }

  show(frame: Frame): void {
    if (this.#live) {
      this.#erase()
      const lines = frame.lines.map((line) => line.slice(0, (this.#out.columns ?? 100) - 1))
      this.#out.write(`${lines.join('\n')}\n`)
      this.#drawn = lines.length
      return
    }
    const nowMs = performance.now()
    if (nowMs - this.#lastPlainMs < 2000) return
    this.#lastPlainMs = nowMs
    this.#out.write(`${frame.plain}\n`)
  }

  /** A line that stays. */
  say(text: string): void {
    this.#erase()
    this.#out.write(`${text}\n`)
  }

  #erase(): void {
    if (this.#drawn > 0) this.#out.write(`\u001b[${this.#drawn}A\u001b[J`)
    this.#drawn = 0
  }
}

/** A bar for a share from 0 to 1. */
export function bar(done: number): string {
  const width = 40
  const filled = Math.min(width, Math.round(done * width))
  return `[${'#'.repeat(filled)}${'.'.repeat(width - filled)}] ${(done * 100).toFixed(0)} %`
}

/** Rows below each other, their columns of equal width. */
export function table(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

export function indented(text: string): string {
  return text.trimEnd().replace(/^(?=.)/gm, '    ')
}
