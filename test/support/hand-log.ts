/**
 * A log written by hand from the table of its format, for tests of who reads it: lines as text, no code of
 * `src/log/`.
 */

import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { LogManifest, SegmentInfo } from '../../src/log/types.ts'

export class HandLog {
  readonly #segments: SegmentInfo[] = []
  readonly #folder: string
  #commit = 0
  #offset = 0

  constructor(folder: string) {
    this.#folder = folder
    this.roll()
  }

  /** Closes the open segment and begins the next. */
  roll(): void {
    const open = this.#segments.at(-1)
    if (open !== undefined) this.#segments[this.#segments.length - 1] = { ...open, closed: true }
    const number = this.#segments.length + 1
    const path = join(this.#folder, `${String(number).padStart(12, '0')}.ndjson`)
    const prev = open === undefined ? 'null' : `{"bytes":${open.bytes}}`
    const text = `{"segment":${number},"base":${this.#commit},"format":1,"t":0,"offsets":{},"wm":{},"counts":{},"prev":${prev}`
    const header = `${text},"crc":${crc32(text)}}\n`
    writeFileSync(path, header)
    const start = Buffer.byteLength(header)
    const base = this.#commit
    this.#segments.push({ path, number, base, last: base, start, bytes: start, closed: false, events: {} })
  }

  /** One commit; gives its number. `events` are values of JSON. */
  commit(stream: string, events: readonly unknown[]): number {
    const commit = ++this.#commit
    const lines = events.map((event, index) => {
      const offset = this.#offset++
      return `{"c":${commit},"i":${index},"p":0,"o":${offset},${JSON.stringify(stream)}:${JSON.stringify(event)}}\n`
    })
    const body = lines.join('')
    const time = 1_700_000_000_000 + commit
    const text = `{"commit":${commit},"t":${time},"n":${events.length},"bytes":${Buffer.byteLength(body)},"offsets":{},"wm":{},"counts":{}`
    const frame = `${text},"crc":${crc32(body, crc32(text))}}\n${body}`
    const open = this.#segments.at(-1)
    if (open === undefined) throw new Error('a log has an open segment')
    appendFileSync(open.path, frame)
    this.#segments[this.#segments.length - 1] = {
      ...open,
      last: commit,
      bytes: open.bytes + Buffer.byteLength(frame),
      events: { ...open.events, [stream]: (open.events[stream] ?? 0) + events.length },
    }
    return commit
  }

  manifest(): LogManifest {
    return { segments: [...this.#segments], durable: this.#commit }
  }
}
