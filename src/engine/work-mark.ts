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
 *     offset 1024              which images and seals went well in this process, as a JSON array of keys
 */

import { openSync, readFileSync, rmSync, writeSync } from 'node:fs'
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
  readonly #done = new Set<string>()

  constructor(path: string) {
    this.#file = openSync(path, 'w')
    writeSync(this.#file, Buffer.alloc(2 * SLOT_BYTES, ' '))
  }

  begin(work: Work): void {
    this.#bytes.fill(' ')
    this.#bytes.write(JSON.stringify(work))
    writeSync(this.#file, this.#bytes, 0, SLOT_BYTES, slots[work.kind] * SLOT_BYTES)
  }

  /** What was begun is over. Left out by work that throws: an engine that ends for it dies of that work. */
  end(kind: WorkKind): void {
    writeSync(this.#file, ' ', slots[kind] * SLOT_BYTES)
  }

  /** An image or a seal went well. */
  done(work: Work): void {
    const key = workKey(work)
    if (this.#done.has(key)) return
    this.#done.add(key)
    writeSync(this.#file, JSON.stringify([...this.#done]), 2 * SLOT_BYTES)
  }
}

/** Where an engine with this scratch folder, which it empties at its start, keeps its mark. */
export function workMarkPath(scratchDir: string): string {
  return `${scratchDir}.work`
}

export function workKey({ kind, view, version }: Omit<Work, 'to'>): string {
  return `${kind} ${view}@${version}`
}

/** What an engine left when it ended. */
export interface LastWork {
  /** What it was doing; a tick stands before the rest. */
  readonly works: readonly Work[]
  /** Keys of images and seals that had gone well. */
  readonly done: readonly string[]
}

/** Reads it once: an engine that dies before it did anything is not held for what the one before it did. */
export function takeWorkAtDeath(path: string): LastWork {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
    rmSync(path, { force: true })
  } catch {
    return { works: [], done: [] }
  }
  const slot = (number: number) => text.slice(number * SLOT_BYTES, (number + 1) * SLOT_BYTES)
  const works = [slot(0), slot(1)].flatMap((own) => jsonOf<Work>(own) ?? [])
  return { works, done: jsonOf<string[]>(text.slice(2 * SLOT_BYTES)) ?? [] }
}

/** Undefined where there is nothing, or the process died while it wrote. */
function jsonOf<T>(text: string): T | undefined {
  try {
    return JSON.parse(text) as T
  } catch {
    return undefined
  }
}
