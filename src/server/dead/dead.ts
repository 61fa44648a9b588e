/**
 * What people do about dead letters: look at them by cause, send mended copies again, or say that nothing is to be
 * done. Everything done is recorded with who did it. No state.
 *
 * A copy is an event like any other: it goes through the same decoder, and into the log in one commit with the others
 * of its stream. It is recorded after it is durable; sent again after a crash in between, it is a duplicate.
 */

import { recordDeadLetterAct } from '../../catalog/dead-letter-acts.ts'
import { skippedOf } from '../../catalog/skipped.ts'
import { readVersion } from '../../catalog/versions.ts'
import { createRequestReader } from '../../ingest/request.ts'
import type { AppendRequest, AppendResult } from '../../log/types.ts'
import { RefoldError } from '../../model/errors.ts'
import type { IngestLimits } from '../../model/limits.ts'
import type { JsonValue, StreamDef } from '../../model/schema.ts'
import type { CoreDead, DeadOutcome, DeadSend } from '../../serve/core-dead.ts'
import type { ServerContext } from '../context.ts'
import {
  allDeadLetters,
  type DeadLetter,
  groupByCause,
  inputOf,
  isCut,
  letterDetail,
  lettersNamed,
  matchesFilter,
} from './dead-letters.ts'
import { mendedText } from './mended-text.ts'

export interface DeadParts {
  readonly context: ServerContext
  readonly limits: () => IngestLimits
  append(request: AppendRequest): Promise<AppendResult>
}

export function createDeadCore(parts: DeadParts): CoreDead {
  const { context } = parts
  return {
    async causes(filter) {
      const letters = (await allDeadLetters(context)).filter(matchesFilter(filter))
      const causes = []
      for (const { newest, ...cause } of groupByCause(letters)) {
        causes.push({ ...cause, example: await letterDetail(context, newest) })
      }
      return causes
    },
    async list(filter, limit) {
      const letters = (await allDeadLetters(context)).filter(matchesFilter(filter))
      return letters
        .slice(-limit)
        .reverse()
        .map(({ raw: _raw, index: _index, ...info }) => info)
    },
    async show(id) {
      const [letter] = lettersNamed(await allDeadLetters(context), [id])
      return await letterDetail(context, letter as DeadLetter)
    },
    send: (request) => sendLetters(parts, request),
    async drop(ids, reason, who) {
      const letters = lettersNamed(await allDeadLetters(context), ids)
      const outcome = Object.fromEntries(letters.map(({ id }) => [id, reason]))
      recordDeadLetterAct(context.catalog, { who, what: 'dropped', outcome })
      return letters.length
    },
  }
}

async function sendLetters(
  parts: DeadParts,
  request: DeadSend,
): Promise<Awaited<ReturnType<CoreDead['send']>>> {
  const { context } = parts
  const letters = lettersNamed(await allDeadLetters(context), [...new Set(request.letters)])
  if (request.event !== undefined && letters.length !== 1) {
    throw new RefoldError('REQUEST_PARAMETER', 'an event in place of the letter goes with one letter', {
      hint: 'Name one letter, or change several alike with `set`.',
    })
  }
  const results: DeadOutcome[] = []
  let cut: number | null = null
  for (const letter of letters) {
    const { outcome, at } = await sendOne(parts, request, letter)
    results.push(outcome)
    cut = at ?? cut
  }
  return { cut, results }
}

async function sendOne(
  parts: DeadParts,
  request: DeadSend,
  letter: DeadLetter,
): Promise<{ readonly outcome: DeadOutcome; readonly at?: number }> {
  const { context } = parts
  const { id } = letter
  const stream = context.streams().find(({ name }) => name === letter.stream)
  const refused = (code: string, reason: string, more: Partial<DeadOutcome> = {}) => ({
    outcome: { id, outcome: 'rejected' as const, code, reason, ...more },
  })
  if (stream === undefined) return refused('STREAM_UNKNOWN', `there is no stream "${letter.stream}" any more`)
  const alsoFolded = letter.kind === 'skipped' ? viewsThatFolded(context, letter) : []
  const noted = alsoFolded.length === 0 ? {} : { alsoFolded }
  if (alsoFolded.length > 0 && !request.force && !request.dryRun) {
    throw new RefoldError(
      'DEAD_LETTER_FOLDED',
      `the event of dead letter "${id}" is in the log, and ${alsoFolded.join(', ')} folded it; a copy would count there once more`,
    )
  }
  const text = await copyText(context, letter, request)
  if (text === null) {
    return refused('DEAD_LETTER_CUT', 'the letter’s text is not whole; give the whole event', noted)
  }
  const prepared = await preparedCopy(stream, parts.limits(), letter, text).catch(asRefusal)
  if (prepared instanceof RefoldError)
    return refused(prepared.code, prepared.message, { event: text, ...noted })
  const [bad] = prepared.deadLetters
  if (bad !== undefined) return refused(bad.code, bad.reason, { event: text, place: bad.place, ...noted })
  const event = prepared.events[0]?.json ?? text
  if (request.dryRun) return { outcome: { id, outcome: 'accepted', event, ...noted } }
  const done = await parts.append(prepared)
  const outcome = done.conflicts.length > 0 ? 'rejected' : done.duplicates > 0 ? 'duplicate' : 'accepted'
  const became: Readonly<Record<string, JsonValue>> = { [id]: outcome }
  recordDeadLetterAct(context.catalog, { who: request.who, what: 'sent', outcome: became })
  const why =
    outcome === 'rejected'
      ? { code: 'EVENT_ID_CONFLICT', reason: 'an event with this id is in the log with other content' }
      : {}
  return { outcome: { id, outcome, event, ...why, ...noted }, at: done.cut }
}

/** A text in which no event can be told. */
function asRefusal(error: unknown): RefoldError {
  if (error instanceof RefoldError) return error
  throw error
}

/** Null where the text that is kept is not the whole event. */
async function copyText(
  context: ServerContext,
  letter: DeadLetter,
  request: DeadSend,
): Promise<string | null> {
  const { event, set = {} } = request
  const own = event ?? (await inputOf(context, letter))
  if (own === null || (event === undefined && letter.kind === 'rejected' && isCut(own))) return null
  return Object.keys(set).length === 0 ? own : mendedText(own, set)
}

async function preparedCopy(
  stream: StreamDef,
  limits: IngestLimits,
  letter: DeadLetter,
  text: string,
): Promise<AppendRequest> {
  // Without an id of its own the copy takes the letter's, so that it is not sent twice.
  const options = stream.id === undefined ? { idempotencyKey: `dead:${letter.id}` } : {}
  return await createRequestReader(stream, limits).prepare(Buffer.from(text), options)
}

/** Views that answer, read the stream, and did not leave the event out. */
function viewsThatFolded({ catalog, serving }: ServerContext, letter: DeadLetter): readonly string[] {
  return Object.entries(serving()).flatMap(([view, version]) => {
    if (readVersion(catalog, view, version)?.plan.streams.includes(letter.stream) !== true) return []
    const left = skippedOf(catalog, view, version).some(
      ({ commit, index }) => commit === letter.commit && index === letter.index,
    )
    return left ? [] : [view]
  })
}
