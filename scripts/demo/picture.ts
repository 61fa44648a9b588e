/**
 * What the demo shows while it runs. On a terminal one picture that is drawn over itself a few times a second;
 * elsewhere a plain line every two seconds, so that a log file reads well. State: how many lines were drawn last,
 * and when the last plain line was written.
 */

export interface Scene {
  readonly seconds: number
  readonly sent: number
  /** Share of the flights that are in, from 0 to 1. */
  readonly done: number
  readonly perSecond: number
  readonly cut: number
  readonly viewCut: number
  readonly lagMs: number
  readonly slices: string
  readonly title: string
  readonly rows: readonly Readonly<Record<string, unknown>>[]
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

  show(scene: Scene): void {
    if (this.#live) {
      this.#erase()
      const lines = [...sceneLines(scene)].map((line) => line.slice(0, (this.#out.columns ?? 100) - 1))
      this.#out.write(`${lines.join('\n')}\n`)
      this.#drawn = lines.length
      return
    }
    const nowMs = performance.now()
    if (nowMs - this.#lastPlainMs < 2000) return
    this.#lastPlainMs = nowMs
    this.#out.write(`${summary(scene)}\n`)
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

function summary(scene: Scene): string {
  const rate = Math.round(scene.perSecond).toLocaleString('en-US')
  return `${scene.seconds.toFixed(0).padStart(3)} s  ${scene.sent.toLocaleString('en-US')} events, ${rate}/s, cut ${scene.cut}, views at ${scene.viewCut}, lag ${Math.round(scene.lagMs)} ms, ${scene.slices}`
}

function* sceneLines(scene: Scene): Iterable<string> {
  const width = 40
  const filled = Math.min(width, Math.round(scene.done * width))
  yield ''
  yield `  [${'#'.repeat(filled)}${'.'.repeat(width - filled)}] ${(scene.done * 100).toFixed(0)} %`
  yield `  ${summary(scene)}`
  yield ''
  yield `  ${scene.title}`
  for (const row of scene.rows) {
    const cells = Object.values(row).map((value) =>
      typeof value === 'number' && !Number.isInteger(value) ? value.toFixed(2) : String(value),
    )
    yield `    ${cells.map((cell) => cell.padEnd(10)).join(' ')}`
  }
  yield ''
}
