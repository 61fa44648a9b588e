/**
 * Sends an answer of unknown length as NDJSON, one line an item, at the speed of the reader. State: the lines that
 * wait to be written in one go.
 *
 * An error that comes before the first line is an answer like any other, with its status; after it the error is the
 * last line. When the reader goes away the source is told to end. Empty lines, sent into silence, keep proxies from
 * closing an endless answer; readers skip them.
 */

import type { ServerResponse } from 'node:http'
import type { FastifyReply } from 'fastify'
import { RefoldError } from '../model/errors.ts'
import type { Clock } from '../std/clock.ts'
import { nextTurn } from '../std/turn.ts'
import { errorJson } from './error-reply.ts'

export interface NdjsonOptions<Item> {
  readonly source: AsyncIterable<Item>
  /** Lines of an item, each with its line end; empty when it has none. */
  readonly lines: (item: Item) => string
  /** Aborts when the reader went away or the server stops. */
  readonly signal: AbortSignal
  /** Ends the source; called once, whatever happened. */
  readonly release: () => void
  readonly clock: Clock
  readonly heartbeatMs?: number
}

/** How long the first item may keep the headers waiting: an early error then still has its status. */
const FIRST_ITEM_MS = 50
const WRITE_CHARS = 64 * 1024

export async function sendNdjson<Item>(reply: FastifyReply, options: NdjsonOptions<Item>): Promise<void> {
  const { source, signal, clock } = options
  const iterator = source[Symbol.asyncIterator]()
  const end = createEnd(signal)
  try {
    const first = iterator.next()
    first.catch(() => {})
    await end.race(Promise.race([first, delay(clock, FIRST_ITEM_MS)]))
    if (signal.aborted) throw new RefoldError('SERVER_STOPPING', 'the server stops or the reader went away')
    reply.hijack()
    reply.raw.writeHead(200, {
      'Content-Type': 'application/x-ndjson; charset=utf-8',
      'Cache-Control': 'no-store',
    })
    reply.raw.flushHeaders()
    await pump(reply.raw, iterator, first, end, options)
  } finally {
    options.release()
    // The source may be waiting for an event that never comes; its end is not waited for.
    void iterator.return?.().then(undefined, () => {})
    if (reply.raw.headersSent) reply.raw.end()
  }
}

async function pump<Item>(
  response: ServerResponse,
  iterator: AsyncIterator<Item>,
  first: Promise<IteratorResult<Item>>,
  end: End,
  options: NdjsonOptions<Item>,
): Promise<void> {
  const writer = createWriter(response, createEnd(options.signal), options)
  try {
    let result = await end.race(first)
    while (result !== undefined && result.done !== true) {
      await writer.add(options.lines(result.value))
      result = await end.race(iterator.next())
    }
  } catch (error) {
    if (!options.signal.aborted) await writer.add(`${errorJson(error)}\n`)
  } finally {
    await writer.end()
  }
}

/** Gathers what comes within one turn of the event loop into one write, and waits while the reader is behind. */
function createWriter<Item>(
  response: ServerResponse,
  end: End,
  { clock, heartbeatMs, signal }: NdjsonOptions<Item>,
) {
  let waiting = ''
  let scheduled = false
  let blocked: Promise<unknown> | undefined
  let cancelBeat = () => {}
  const beat = () => {
    if (heartbeatMs === undefined) return
    cancelBeat()
    cancelBeat = clock.after(heartbeatMs, () => {
      if (!signal.aborted && blocked === undefined) response.write('\n')
      beat()
    })
  }
  const flush = () => {
    if (waiting === '' || signal.aborted) return
    const text = waiting
    waiting = ''
    beat()
    if (response.write(text)) return
    blocked = end.race(new Promise((resolve) => response.once('drain', resolve)))
    void blocked.then(() => {
      blocked = undefined
    })
  }
  beat()
  return {
    async add(text: string): Promise<void> {
      waiting += text
      if (waiting.length >= WRITE_CHARS) flush()
      else if (!scheduled && waiting !== '') {
        scheduled = true
        void nextTurn().then(() => {
          scheduled = false
          if (blocked === undefined) flush()
        })
      }
      if (blocked !== undefined) await blocked
    },
    async end(): Promise<void> {
      if (blocked !== undefined) await blocked
      flush()
      cancelBeat()
    },
  }
}

/** The end of an answer as something to wait for beside one other thing at a time. */
interface End {
  /** The promise's result, or undefined as soon as the answer ends. */
  race<T>(promise: Promise<T>): Promise<T | undefined>
}

/** One listener for the whole answer: racing each item against one promise would keep every item in memory. */
function createEnd(signal: AbortSignal): End {
  let wake: (() => void) | undefined
  signal.addEventListener('abort', () => wake?.())
  return {
    race<T>(promise: Promise<T>) {
      return new Promise<T | undefined>((resolve, reject) => {
        wake = () => resolve(undefined)
        promise.then(resolve, reject)
        if (signal.aborted) wake()
      })
    },
  }
}

function delay(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => void clock.after(delayMs, resolve))
}
