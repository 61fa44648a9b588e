/**
 * Somebody who follows a view's changes for ever and applies each line, coming back at the cut and with the version that
 * it holds whenever the server was killed. State: the rows that it holds, and the delta of which not all lines came.
 */

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { type LawServer, Refused, ServerGone } from './law-server.ts'

interface Line {
  readonly from: number
  readonly to: number
  readonly version: string
  readonly cause?: { readonly from: string; readonly to: string | null }
  readonly old?: Readonly<Record<string, unknown>>
  readonly new?: Readonly<Record<string, unknown>>
}

export class LawFollower {
  readonly view: string
  readonly #server: LawServer
  readonly #up: () => Promise<void>
  #rows = new Map<string, number>()
  #cut = 0
  #version: string | undefined
  #pending: Line[] = []
  #stopped = false
  #abort = new AbortController()
  /** How often it could not go on from where it was, and began again. */
  restarts = 0

  constructor(server: LawServer, view: string, up: () => Promise<void>) {
    this.#server = server
    this.view = view
    this.#up = up
  }

  stop(): void {
    this.#stopped = true
    this.#abort.abort()
  }

  async run(): Promise<void> {
    while (!this.#stopped) {
      this.#abort = new AbortController()
      await this.#follow('follow=1', this.#abort.signal)
      await sleep(10)
    }
  }

  /** Stops following, reads what is left, and gives the rows that it holds, sorted. */
  async caughtUp(cut: number): Promise<readonly string[]> {
    this.stop()
    while (this.#following) await sleep(5)
    // The view has to stand at the cut: whoever asks does so by reading it first.
    await this.#server.text(`/v1/views/${this.view}?limit=1&after=${cut}&timeout=60000`)
    await this.#follow('', new AbortController().signal)
    return [...this.#rows].flatMap(([row, times]) => Array.from({ length: times }, () => row)).sort()
  }

  #following = false
  /** Whether this connection brought a delta. */
  #joined = false

  async #follow(how: string, signal: AbortSignal): Promise<void> {
    this.#following = true
    this.#joined = false
    if (this.#cut === 0) this.#rows = new Map()
    const from = this.#cut === 0 ? [] : [`from=${this.#cut}`, `version=${this.#version ?? ''}`]
    const query = [...from, how].filter((part) => part !== '').join('&')
    let whole = false
    try {
      for await (const line of this.#server.lines<Line>(`/v1/views/${this.view}/changes?${query}`, signal)) {
        const [first] = this.#pending
        if (first !== undefined && !isSameDelta(first, line)) this.#applyPending()
        this.#pending.push(line)
      }
      whole = !signal.aborted && how === ''
    } catch (error) {
      if (error instanceof ServerGone) await this.#up()
      else if (error instanceof Refused && error.code === 'DELTA_TOO_OLD') this.#beginAgain()
      // An engine was killed: the view is there again in a moment.
      else if (!(error instanceof Refused && error.status === 503)) throw error
    } finally {
      if (whole) this.#applyPending()
      // What came of a delta that did not come to its end is sent again.
      this.#pending = []
      this.#following = false
    }
  }

  #beginAgain(): void {
    this.#rows = new Map()
    this.#cut = 0
    this.#version = undefined
    this.restarts++
  }

  #applyPending(): void {
    const lines = this.#pending
    this.#pending = []
    const [first] = lines
    if (first === undefined) return
    // A first delta without a row has no line.
    const joins = first.from === this.#cut || (!this.#joined && first.from > this.#cut)
    assert.ok(joins, `deltas join: ${first.from} after ${this.#cut}`)
    this.#joined = true
    if (first.cause !== undefined) assert.equal(first.cause.from, this.#version)
    for (const { old } of lines) if (old !== undefined) this.#count(JSON.stringify(old), -1)
    for (const line of lines) if (line.new !== undefined) this.#count(JSON.stringify(line.new), 1)
    this.#cut = first.to
    this.#version = first.version
  }

  #count(row: string, change: number): void {
    const times = (this.#rows.get(row) ?? 0) + change
    assert.ok(times >= 0, `a row that goes was held: ${row}`)
    if (times === 0) this.#rows.delete(row)
    else this.#rows.set(row, times)
  }
}

function isSameDelta(a: Line, b: Line): boolean {
  return (
    a.from === b.from &&
    a.to === b.to &&
    a.version === b.version &&
    (a.cause === undefined) === (b.cause === undefined)
  )
}
