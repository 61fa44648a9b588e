/**
 * Dead letters of both kinds as one list: rejected ones from the catalog and the hot log, skipped ones from the
 * catalog. Each has an id that stays the same when its commit moves to the lake, because a commit's letters keep their
 * order. No state: what was done about them is read from the catalog each time.
 */

import { type DeadLetterAct, deadLetterActs } from '../../catalog/dead-letter-acts.ts'
import { deadLetters } from '../../catalog/lake.ts'
import { allSkipped } from '../../catalog/skipped.ts'
import { type ErrorCode, errorTable, RefoldError } from '../../model/errors.ts'
import type { DeadCause, DeadFilter, DeadLetterDetail, DeadLetterInfo } from '../../serve/core-dead.ts'
import { eventsAt } from '../compare/row-events.ts'
import type { ServerContext } from '../context.ts'

/** The newest ones up to this many are looked at. */
const LETTERS_MAX = 200_000
/** As ingest cuts the text that it keeps. */
const RAW_BYTES_MAX = 4096
const VERSION_SHOWN = 12

/** A letter, with what is needed to find its text. */
export interface DeadLetter extends DeadLetterInfo {
  /** Text of a rejected one as far as it was kept. */
  readonly raw?: string
  /** Position in its commit of a skipped one. */
  readonly index?: number
}

/** Oldest first. */
export async function allDeadLetters(context: ServerContext): Promise<readonly DeadLetter[]> {
  const done = statesOf(deadLetterActs(context.catalog))
  const letters = [...(await rejectedLetters(context)), ...skippedLetters(context)]
  return letters
    .map((letter): DeadLetter => ({ ...letter, state: done.get(letter.id) ?? 'open' }))
    .sort((a, b) => a.commit - b.commit || (a.id < b.id ? -1 : 1))
}

async function rejectedLetters(context: ServerContext): Promise<readonly DeadLetter[]> {
  const numbers = new Map<number, number>()
  const letters: DeadLetter[] = []
  const add = (
    commit: number,
    timeMs: number,
    letter: Pick<DeadLetter, 'stream' | 'code' | 'reason' | 'place'> & { readonly raw: string },
  ) => {
    const number = numbers.get(commit) ?? 0
    numbers.set(commit, number + 1)
    const { stream, code, reason, place, raw } = letter
    const time = new Date(timeMs).toISOString()
    const id = `${commit}.${number}`
    letters.push({ id, kind: 'rejected', stream, commit, time, code, reason, place, raw, state: 'open' })
  }
  const cold = deadLetters(context.catalog, LETTERS_MAX)
  // Where the list was cut within a commit, the letters of that commit would be counted from a wrong one.
  const broken = cold.length === LETTERS_MAX ? cold[0]?.commit : undefined
  for (const letter of cold) if (letter.commit !== broken) add(letter.commit, letter.timeMs, letter)
  await context.pins.with(async ({ log, lake }) => {
    const from = Math.max(lake.through, log.segments[0]?.base ?? 0)
    for await (const { header, letter } of context.reader.deadLetters(log, { from, to: log.durable })) {
      add(header.commit, header.timeMs, letter)
    }
  })
  return letters
}

function skippedLetters({ catalog }: ServerContext): readonly DeadLetter[] {
  return allSkipped(catalog).map(
    ({ view, version, stream, commit, index, message, code = 'EVENT_SKIPPED', stack, timeMs }) => ({
      id: `${commit}.${index}/${view}@${version.slice(0, VERSION_SHOWN)}`,
      kind: 'skipped',
      ...{ stream, commit, index, view, version, code, place: '', reason: message, state: 'open' },
      time: new Date(timeMs).toISOString(),
      ...(stack === undefined ? {} : { stack }),
    }),
  )
}

/** Letter → what was done last about it; a copy that was rejected again leaves it open. */
function statesOf(acts: readonly DeadLetterAct[]): ReadonlyMap<string, DeadLetterInfo['state']> {
  const states = new Map<string, DeadLetterInfo['state']>()
  for (const { what, outcome } of acts) {
    for (const [id, became] of Object.entries(outcome)) {
      if (what === 'dropped') states.set(id, 'dropped')
      else if (became === 'accepted' || became === 'duplicate') states.set(id, 'sent')
    }
  }
  return states
}

export function matchesFilter(filter: DeadFilter): (letter: DeadLetterInfo) => boolean {
  const wanted = Object.entries(filter).filter(([, value]) => value !== undefined)
  return (letter) => wanted.every(([name, value]) => letter[name as keyof DeadFilter] === value)
}

/** Groups letters by what went wrong where; the cause with the most open letters comes first. */
export function groupByCause(letters: readonly DeadLetter[]): readonly (Omit<DeadCause, 'example'> & {
  readonly newest: DeadLetter
})[] {
  const groups = Map.groupBy(letters, ({ kind, stream, view, version, code, place }) =>
    JSON.stringify([kind, stream, view, version, code, placeOf(place)]),
  )
  return [...groups.values()]
    .flatMap((group) => {
      const [first] = group
      const newest = group.at(-1)
      if (first === undefined || newest === undefined) return []
      const { kind, stream, view, version, code, place } = first
      return {
        ...{ kind, stream, code, place: placeOf(place), count: group.length },
        ...(view === undefined ? {} : { view }),
        ...(version === undefined ? {} : { version }),
        open: group.filter(({ state }) => state === 'open').length,
        ...{ first: first.time, last: newest.time, newest },
      }
    })
    .sort((a, b) => b.open - a.open || b.count - a.count)
}

/** Elements of an array are one place. */
function placeOf(pointer: string): string {
  return pointer.replaceAll(/\/\d+(?=\/|$)/g, '/*')
}

/** The letter with its text and with what was done about it. */
export async function letterDetail(context: ServerContext, letter: DeadLetter): Promise<DeadLetterDetail> {
  const { raw, index, ...info } = letter
  const input = await inputOf(context, letter)
  const acts = deadLetterActs(context.catalog).flatMap(({ timeMs, who, what, outcome }) => {
    const became = outcome[letter.id]
    return became === undefined ? [] : { time: new Date(timeMs).toISOString(), who, what, outcome: became }
  })
  const known = errorTable[letter.code as ErrorCode]
  const cut = letter.kind === 'rejected' && isCut(raw ?? '')
  return { ...info, input, cut, hint: known?.hint ?? 'Mend the logic, or send a mended copy.', acts }
}

/** Whether the kept text may be the beginning of a longer one. */
export function isCut(raw: string): boolean {
  return Buffer.byteLength(raw) >= RAW_BYTES_MAX - 3
}

/** The event's text; null when the log has it no more. */
export async function inputOf(context: ServerContext, letter: DeadLetter): Promise<string | null> {
  if (letter.kind === 'rejected') return letter.raw ?? ''
  if (!context.streams().some(({ name }) => name === letter.stream)) return null
  const positions = [{ commit: letter.commit, index: letter.index ?? 0 }]
  const [event] = await eventsAt(context, letter.stream, positions)
  return event?.json ?? null
}

/** The letters with these ids, in their order. Throws DEAD_LETTER_UNKNOWN. */
export function lettersNamed(letters: readonly DeadLetter[], ids: readonly string[]): readonly DeadLetter[] {
  const byId = new Map(letters.map((letter) => [letter.id, letter]))
  return ids.map((id) => {
    const found = byId.get(id)
    if (found === undefined) throw new RefoldError('DEAD_LETTER_UNKNOWN', `there is no dead letter "${id}"`)
    return found
  })
}
