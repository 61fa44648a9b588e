/**
 * The commit that is being built: requests are encoded into its body as they arrive, while the commit before it is
 * written. State: the body, the requests with their answers, and the streams it touched; offsets, counts and dedupe
 * entries go to the working state at once, so that the next request sees them.
 *
 * Why duplicates are answered in time: an id that is remembered was remembered by an earlier commit or by this one,
 * commits become durable in order, and a request is answered with its own commit. If an earlier one fails, this one
 * fails with it.
 */

import type { CommitSeq } from '../model/cut.ts'
import { assert } from '../std/assert.ts'
import { hashBytes64, hashText128 } from '../std/hash.ts'
import type { ByteWriter } from './byte-writer.ts'
import type { DedupeStore, StreamWindow } from './dedupe-store.ts'
import { encodeDeadLine, encodeFrameHeader, eventLineHead, eventLineKey } from './frame.ts'
import type { LogState, StreamWork } from './log-state.ts'
import type { AppendRequest, AppendResult, CommitHeader, DeadLetter, PreparedEvent } from './types.ts'

/** A request that waits for its answer. */
export interface PendingAppend {
  readonly request: AppendRequest
  readonly resolve: (result: AppendResult) => void
  readonly reject: (error: unknown) => void
}

export interface FrameContext {
  readonly state: LogState
  readonly dedupe: DedupeStore
  /** Hashes the content of an event. */
  readonly contentKey: Int32Array
  /** Scratch: the fingerprints of a request's ids. */
  ids: Int32Array
}

const KEPT_BODY_BYTES = 4 << 20
const COMMA_P = Buffer.from(',"p":')
const COMMA_O = Buffer.from(',"o":')
const COMMA_ID = Buffer.from(',"id":')
const LINE_END = Buffer.from('}\n')
/** Room for everything in an event line beside the event, its id and its stream's name: digits and keys. */
const LINE_ROOM = 128

export class OpenFrame {
  readonly commit: CommitSeq
  readonly timeMs: number
  readonly body: ByteWriter
  readonly answers: { readonly pending: PendingAppend; readonly result: AppendResult }[] = []
  readonly #context: FrameContext
  readonly #changed = new Set<string>()
  readonly #head: Buffer
  readonly #content = new Int32Array(2)
  /** Times of the commit's events: which of them are late is known once its last event has moved the watermark. */
  readonly #times = new Map<StreamWork, number[]>()
  #events = 0

  constructor(context: FrameContext, commit: CommitSeq, timeMs: number, body: ByteWriter) {
    this.#context = context
    this.commit = commit
    this.timeMs = timeMs
    this.body = body
    this.body.reset(KEPT_BODY_BYTES)
    this.#head = Buffer.from(eventLineHead(commit))
  }

  /** Takes the whole request into this commit. */
  add(pending: PendingAppend): void {
    const { request } = pending
    const { state, dedupe } = this.#context
    const work = state.work(request.stream)
    this.#changed.add(request.stream)
    const window = dedupe.window(request.stream)
    window?.window.expire(this.timeMs)
    const keyText = eventLineKey(request.stream)
    const key = Buffer.from(keyText)
    const conflicts: { index: number; id: string }[] = []
    const before = { accepted: work.accepted, duplicate: work.duplicate }
    if (window !== undefined) this.#hashIds(window, request.events)
    for (const [position, event] of request.events.entries()) {
      if (event.id === undefined || window === undefined) {
        this.#writeEvent(work, event, key, true)
        continue
      }
      if (this.#addWithId(work, window, event, 4 * position, key, request.formsBefore)) continue
      conflicts.push({ index: event.index, id: event.id })
      this.#addDead(work, conflictLetter(event, event.id, window.idField))
    }
    for (const letter of request.deadLetters) this.#addDead(work, letter)
    const result: AppendResult = {
      cut: this.commit,
      accepted: work.accepted - before.accepted,
      duplicates: work.duplicate - before.duplicate,
      conflicts,
    }
    this.answers.push({ pending, result })
  }

  /** The header, once nothing is added any more. */
  seal(): { readonly header: CommitHeader; readonly line: Buffer } {
    const { commit, timeMs } = this
    this.#countLate()
    const bytes = this.body.length
    const values = this.#context.state.changed(this.#changed)
    const header: CommitHeader = { commit, timeMs, events: this.#events, bytes, ...values }
    return { header, line: encodeFrameHeader(header, [this.body.bytes()]) }
  }

  #countLate(): void {
    for (const [work, times] of this.#times) {
      const { watermarkUs = Number.NEGATIVE_INFINITY } = work
      let late = 0
      for (const timeUs of times) if (timeUs < watermarkUs) late++
      work.late = (work.late ?? 0) + late
    }
  }

  /** Keeps an event's time and moves the watermark. */
  #addTime(work: StreamWork, timeUs: number): void {
    const times = this.#times.get(work)
    if (times === undefined) this.#times.set(work, [timeUs])
    else times.push(timeUs)
    const watermarkUs = timeUs - work.latenessUs
    if (work.watermarkUs === undefined || watermarkUs > work.watermarkUs) work.watermarkUs = watermarkUs
  }

  #hashIds({ window, idKey }: StreamWindow, events: readonly PreparedEvent[]): void {
    if (this.#context.ids.length < 4 * events.length) this.#context.ids = new Int32Array(8 * events.length)
    const { ids } = this.#context
    for (const [position, { id }] of events.entries()) {
      if (id !== undefined) hashText128(idKey, id, ids, 4 * position)
    }
    window.touch(ids, events.length)
  }

  /** False when the id is remembered with another content. */
  #addWithId(
    work: StreamWork,
    { window, idField }: StreamWindow,
    event: PreparedEvent,
    idAt: number,
    key: Buffer,
    formsBefore: AppendRequest['formsBefore'],
  ): boolean {
    const place = window.claim(this.#context.ids, idAt, this.timeMs)
    if (place < 0) {
      const start = this.#writeEvent(work, event, key, idField !== undefined)
      this.#hashContent(start, this.body.length - LINE_END.length)
      window.setContent(window.head - 1, this.#content)
      return true
    }
    const isKnown = (json: string) => window.hasContent(place, this.#contentOf(json))
    if (!isKnown(event.json) && formsBefore?.(event.json).some(isKnown) !== true) return false
    work.duplicate++
    return true
  }

  #contentOf(json: string): Int32Array {
    const start = this.body.length
    this.body.reserve(3 * json.length)
    this.body.text(json)
    this.#hashContent(start, this.body.length)
    this.body.truncate(start)
    return this.#content
  }

  /** Writes an event line; answers where in the body the event's JSON text begins. */
  #writeEvent(work: StreamWork, event: PreparedEvent, key: Buffer, idInEvent: boolean): number {
    const { body } = this
    const { partition, json, timeUs } = event
    const offset = work.offsets[partition]
    assert(offset !== undefined, `stream "${work.name}" has partition ${partition}`)
    const id = idInEvent || event.id === undefined ? undefined : JSON.stringify(event.id.toWellFormed())
    body.reserve(3 * json.length + key.length + LINE_ROOM + 3 * (id?.length ?? 0))
    body.piece(this.#head)
    body.digits(this.#events++)
    body.piece(COMMA_P)
    body.digits(partition)
    body.piece(COMMA_O)
    body.digits(offset)
    if (id !== undefined) {
      body.piece(COMMA_ID)
      body.text(id)
    }
    body.piece(key)
    const start = body.length
    body.text(json)
    body.piece(LINE_END)
    work.offsets[partition] = offset + 1
    work.accepted++
    if (timeUs !== undefined) this.#addTime(work, timeUs)
    return start
  }

  #addDead(work: StreamWork, letter: DeadLetter): void {
    const line = encodeDeadLine(this.commit, letter)
    this.body.reserve(3 * line.length)
    this.body.text(line)
    work.rejected++
  }

  #hashContent(start: number, end: number): void {
    hashBytes64(this.#context.contentKey, this.body.view, start, end, this.#content, 0)
  }
}

function conflictLetter(event: PreparedEvent, id: string, idField: string | undefined): DeadLetter {
  return {
    stream: event.stream,
    index: event.index,
    code: 'EVENT_ID_CONFLICT',
    reason: `an event with id ${JSON.stringify(id)} and other content was accepted before`,
    place: idField === undefined ? '' : `/${idField.replaceAll('~', '~0').replaceAll('/', '~1')}`,
    raw: event.json,
  }
}
