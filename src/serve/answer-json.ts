/**
 * The JSON text of answers. Rows come as text from the engine and are put in unread, so that a number keeps all its
 * digits and a large answer costs no parsing. Pure.
 */

import type { Rows } from '../engine/engine.ts'
import { arrayElements } from '../ingest/body-split.ts'
import type { AppendRequest, AppendResult, LogEvent } from '../log/types.ts'
import type { StreamDef } from '../model/schema.ts'
import type { AnswerMeta, ViewDelta } from './core.ts'

export function viewAnswerJson(view: string, answer: Rows & AnswerMeta): string {
  const { cut, at, lagMs, columns, json, truncated } = answer
  const stall = answer.stalled[view]
  const batch = answer.batches?.[view]
  return (
    `{"view":${JSON.stringify(view)},"version":${JSON.stringify(answer.versions[view] ?? null)},"cut":${cut},` +
    `"at":${at === null ? 'null' : `"${at}"`},"watermark":${JSON.stringify(lowestWatermark(answer.watermarks))},"lagMs":${lagMs},` +
    `${stall === undefined ? '' : `"stalled":${JSON.stringify(stall)},`}` +
    `${batch === undefined ? '' : `"batch":${JSON.stringify(batch)},`}"columns":${JSON.stringify(columns)},` +
    `"rows":${json},"truncated":${truncated}}`
  )
}

export function sqlAnswerJson(answer: Rows & AnswerMeta): string {
  const { cut, at, lagMs, columns, json, truncated, stalled, batches, trimmed } = answer
  return (
    `{"cut":${cut},"at":${at === null ? 'null' : `"${at}"`},"versions":${JSON.stringify(answer.versions)},` +
    `"watermarks":${JSON.stringify(answer.watermarks)},"lagMs":${lagMs},` +
    `${Object.keys(stalled).length === 0 ? '' : `"stalled":${JSON.stringify(stalled)},`}` +
    `${batches === undefined ? '' : `"batches":${JSON.stringify(batches)},`}` +
    `${trimmed === undefined ? '' : `"trimmed":${JSON.stringify(trimmed)},`}` +
    `"columns":${JSON.stringify(columns)},"rows":${json},"truncated":${truncated}}`
  )
}

/** The oldest watermark of the streams read: everything before it is in the answer. Null when one has none. */
function lowestWatermark(watermarks: AnswerMeta['watermarks']): string | null {
  let lowest: string | null | undefined
  for (const stream in watermarks) {
    const watermark = watermarks[stream] ?? null
    if (watermark === null) return null
    if (lowest === undefined || lowest === null || instant(watermark) < instant(lowest)) lowest = watermark
  }
  return lowest ?? null
}

/** Sorts like the time it states, also where one text has a fraction of a second and the other has none. */
function instant(iso: string): string {
  return iso.replace('Z', '').padEnd(26, '0')
}

export interface AppendAnswer {
  readonly status: 200 | 422
  readonly body: string
}

/** What became of a request's events. Conflicts are found by the log, after decoding, and are rejected like others. */
export function appendAnswer(stream: StreamDef, request: AppendRequest, result: AppendResult): AppendAnswer {
  const rejected = request.deadLetters.map(({ index, code, reason, place }) => ({
    index,
    code,
    reason,
    place,
  }))
  for (const { index, id } of result.conflicts) {
    rejected.push({
      index,
      code: 'EVENT_ID_CONFLICT',
      reason: `an event with id ${JSON.stringify(id)} and other content was accepted before`,
      place: stream.id === undefined ? '' : `/${stream.id.replaceAll('~', '~0').replaceAll('/', '~1')}`,
    })
  }
  if (result.conflicts.length > 0) rejected.sort((a, b) => a.index - b.index)
  const { accepted, duplicates, cut } = result
  return {
    status: accepted + duplicates === 0 && rejected.length > 0 ? 422 : 200,
    body: `{"accepted":${accepted},"duplicates":${duplicates},"rejected":${JSON.stringify(rejected)},"cut":${cut}}`,
  }
}

/** Lines for events of the log. Events of one commit share their time, so its text is made once. */
export function eventLines(): (event: LogEvent) => string {
  let timeMs = Number.NaN
  let time = ''
  return (event) => {
    if (event.timeMs !== timeMs) {
      timeMs = event.timeMs
      time = new Date(timeMs).toISOString()
    }
    return (
      `{"commit":${event.commit},"index":${event.index},"partition":${event.partition},` +
      `"offset":${event.offset},"time":"${time}","event":${event.json}}\n`
    )
  }
}

/** Lines for a delta: one for each row that changed. */
export function deltaLines(delta: ViewDelta): string {
  if (delta.count === 0) return ''
  const { from, to, version, batch, cause } = delta
  // What is undefined is left out.
  const head = `${JSON.stringify({ from, to, version, batch, cause }).slice(0, -1)},`
  const bytes = Buffer.from(delta.json)
  const ranges = arrayElements(bytes, Number.POSITIVE_INFINITY)
  let lines = ''
  for (let at = 0; at < ranges.length; at += 2) {
    // The element is an object that begins with its brace, which `head` brings already.
    lines += `${head}${bytes.toString('utf8', ranges[at]! + 1, ranges[at + 1]!)}\n`
  }
  return lines
}
