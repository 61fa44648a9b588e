/**
 * What the live engine was doing when it died: before it folds a view, loads its slices or makes an image of it, it
 * writes that down in a small file beside its scratch folder, and takes it back when that went well. State: the file,
 * open until the process ends. The server reads it when an engine has ended.
 *
 * Why one synchronous write is enough: the page cache survives a killed process, and only a process is meant here. A
 * machine that loses its power takes the server along.
 *
 *     offset 0     512 bytes   a tick: JSON, filled with spaces
 *     offset 512   512 bytes   an image, a seal, or loading
 */

import { openSync, readFileSync, writeSync } from 'node:fs'
import type { CommitSeq, VersionId } from '../model/cut.ts'

export type WorkKind = 'fold' | 'load' | 'image' | 'seal'

export interface Work {
  readonly kind: WorkKind
  readonly view: string
  readonly version: VersionId
  /** Cut that it would reach. */
  readonly to: CommitSeq
}

const SLOT_BYTES = 512
const slots = { fold: 0, load: 1, image: 1, seal: 1 } as const

export class WorkMark {
  readonly #file: number
  readonly #bytes = Buffer.alloc(SLOT_BYTES)

  constructor(path: string) {
    this.#file = openSync(path, 'w')
    writeSync(this.#file, Buffer.alloc(2 * SLOT_BYTES, ' '))
  }

  begin(work: Work): void {
    this.#bytes.fill(' ')
    this.#bytes.write(JSON.stringify(work))
    writeSync(this.#file, this.#bytes, 0, SLOT_BYTES, slots[work.kind] * SLOT_BYTES)
  }

  /** What was begun went well. Left out by work that throws: an engine that ends for it dies of that work. */
  end(kind: WorkKind): void {
    writeSync(this.#file, ' ', slots[kind] * SLOT_BYTES)
  }
}

/** Where an engine with this scratch folder, which it empties at its start, keeps its mark. */
export function workMarkPath(scratchDir: string): string {
  return `${scratchDir}.work`
}

/** What an engine that has ended was doing; a tick stands before the rest. */
export function workAtDeath(path: string): readonly Work[] {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return []
  }
  return [text.slice(0, SLOT_BYTES), text.slice(SLOT_BYTES)].flatMap((slot) => {
    if (!slot.startsWith('{')) return []
    try {
      return [JSON.parse(slot) as Work]
    } catch {
      // It died while it wrote.
      return []
    }
  })
}
