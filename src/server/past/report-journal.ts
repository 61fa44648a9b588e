/**
 * Keeps what answers show, so that each can be given again. State: the newest entry, the entry of a late answer that
 * holds at this moment, the entries that are not written yet, and the last moment that was given out.
 *
 * Every live answer gets a moment, later than all before it, at which the journal says exactly the answer's cut,
 * versions and, of views with a batch layer, T. Most answers show what the newest entry says: then a moment is all they get. One that shows something
 * newer makes an entry. One that is late (it was begun before a tick or a cutover, and ends after others showed what
 * came of it) gets an entry of its own, and at the end of the turn follows one that says again what is newest. So late
 * lookups that were answered together make two entries and not two each.
 */

import type { Catalog } from '../../catalog/open-catalog.ts'
import { firstReport, lastReport, type ReportEntry, reportAt, reports } from '../../catalog/reports.ts'
import type { Serving } from '../../catalog/versions.ts'
import type { ReadStamp } from '../../engine/engine.ts'
import type { CommitSeq } from '../../model/cut.ts'
import { RefoldError } from '../../model/errors.ts'
import { utcText } from '../../model/utc-text.ts'
import type { Clock } from '../../std/clock.ts'
import type { ReportTail } from './report-tail.ts'

export interface ReportParts {
  readonly catalog: Catalog
  readonly clock: Clock
  /** Which versions answer, as the catalog has it; the same object while nothing was published. */
  readonly serving: () => Serving
  /** Holds what is not in the catalog yet. */
  readonly tail: ReportTail
}

type Shown = Pick<ReadStamp, 'cut' | 'versions' | 'stalled' | 'stalledAt' | 'batches'>
type Cuts = Readonly<Record<string, CommitSeq>>

export class ReportJournal {
  readonly #parts: ReportParts
  #newest: ReportEntry | undefined
  #late: ReportEntry | undefined
  #waiting: ReportEntry[] = []
  #lastUs: number

  constructor(parts: ReportParts) {
    this.#parts = parts
    this.#newest = lastReport(parts.catalog)
    // A process that was killed between a write and the clearing of the tail leaves lines that the catalog has.
    const written = this.#newest?.us ?? 0
    this.#waiting = parts.tail.read().filter((entry) => entry.us > written)
    this.#newest = this.#waiting.at(-1) ?? this.#newest
    this.#lastUs = this.#newest?.us ?? 0
  }

  /** Whether there is something to write. */
  get waits(): boolean {
    return this.#waiting.length > 0
  }

  /** The moment of an answer. `pinned`: its reader asked for that version, so it says nothing of who serves. */
  stamp(answer: Shown, pinned: boolean): number {
    const us = this.#nextUs()
    const current = this.#late ?? this.#newest
    if (current !== undefined && shows(current, answer, pinned)) return us
    const newest = this.#newest
    if (newest !== undefined && shows(newest, answer, pinned)) this.#push({ ...newest, us })
    else this.#enter(us, answer, pinned)
    return us
  }

  /** What a reader would get now, for when nobody reads: called about once a second and after every cutover. */
  note(cut: CommitSeq, stalledAt: Cuts, batches: Cuts): void {
    const versions = this.#parts.serving()
    const newest = this.#newest
    const isKnown =
      newest !== undefined &&
      newest.cut >= cut &&
      (newest.versions === versions || same(newest.versions, versions)) &&
      same(newest.stalledAt, stalledAt) &&
      same(newest.batches, batches)
    if (isKnown) return
    this.#push({ us: this.#nextUs(), cut: Math.max(cut, newest?.cut ?? 0), versions, stalledAt, batches })
  }

  /** Hands over what is not written yet to `write`; when that throws, it is handed over again the next time. */
  write(write: (entries: readonly ReportEntry[]) => void): void {
    this.#sayNewest()
    write(this.#waiting)
    this.#waiting = []
    this.#parts.tail.clear()
  }

  close(): void {
    this.#late = undefined
    this.#parts.tail.close()
  }

  /** The newest entries, oldest first. */
  recent(limit: number): readonly ReportEntry[] {
    return [...reports(this.#parts.catalog, limit), ...this.#waiting].slice(-limit)
  }

  /** What was shown at a moment. Throws MOMENT_UNKNOWN. */
  at(us: number): ReportEntry {
    const { catalog, clock } = this.#parts
    const nowUs = Math.max(clock.nowMs() * 1000 + 999, this.#lastUs)
    if (us > nowUs) {
      throw new RefoldError('MOMENT_UNKNOWN', `${utcText(us)} lies ahead: here it is ${utcText(nowUs)}`)
    }
    const found = this.#waiting.findLast((entry) => entry.us <= us) ?? reportAt(catalog, us)
    if (found !== undefined) return found
    const first = firstReport(catalog) ?? this.#waiting[0]
    const since =
      first === undefined ? 'nothing was reported yet' : `the first report is of ${utcText(first.us)}`
    throw new RefoldError(
      'MOMENT_UNKNOWN',
      `nothing is known of what was reported at ${utcText(us)}: ${since}`,
    )
  }

  #enter(us: number, answer: Shown, pinned: boolean): void {
    const newest = this.#newest
    const { cut, versions } = answer
    const stalledAt = cutsAfter(newest?.stalledAt ?? {}, answer.versions, answer.stalledAt)
    const batches = cutsAfter(newest?.batches ?? {}, answer.versions, answer.batches)
    const current = this.#parts.serving()
    const isOf = (set: Serving) =>
      pinned || Object.keys(versions).every((view) => set[view] === versions[view])
    const upTo = isAllStalled(answer) ? (newest?.cut ?? cut) : cut
    if (newest === undefined || upTo >= newest.cut) {
      const set = isOf(current)
        ? current
        : newest !== undefined && isOf(newest.versions)
          ? newest.versions
          : undefined
      if (set !== undefined) {
        this.#push({ us, cut: upTo, versions: set, stalledAt, batches })
        return
      }
    }
    const set = newest?.versions ?? current
    this.#newest ??= { us, cut, versions: current, stalledAt: {}, batches: {} }
    if (this.#late === undefined) setImmediate(() => this.#sayNewest())
    this.#late = { us, cut: upTo, versions: pinned ? set : { ...set, ...versions }, stalledAt, batches }
    this.#add(this.#late)
  }

  /** After a late answer. */
  #sayNewest(): void {
    if (this.#late !== undefined && this.#newest !== undefined)
      this.#push({ ...this.#newest, us: this.#nextUs() })
  }

  #push(entry: ReportEntry): void {
    this.#newest = entry
    this.#late = undefined
    this.#add(entry)
  }

  #add(entry: ReportEntry): void {
    this.#waiting.push(entry)
    this.#parts.tail.append(entry)
  }

  #nextUs(): number {
    this.#lastUs = Math.max(this.#parts.clock.nowMs() * 1000, this.#lastUs + 1)
    return this.#lastUs
  }
}

/** Whether an entry says what the answer showed. */
function shows(entry: ReportEntry, answer: Shown, pinned: boolean): boolean {
  if (answer.cut !== entry.cut && !isAllStalled(answer)) return false
  for (const view in answer.versions) {
    if (!pinned && entry.versions[view] !== answer.versions[view]) return false
    if (entry.stalledAt[view] !== answer.stalledAt?.[view]) return false
    if (entry.batches[view] !== answer.batches?.[view]) return false
  }
  return true
}

/** Such an answer has the views' own cuts and none of the others'. */
function isAllStalled(answer: Shown): boolean {
  if (answer.stalledAt === undefined) return false
  for (const view in answer.versions) if (answer.stalledAt[view] === undefined) return false
  return true
}

/** What was told of other views stays; the answer says it anew of its own. The same object where nothing changes. */
function cutsAfter(before: Cuts, versions: Serving, told: Cuts = {}): Cuts {
  const views = Object.keys(versions)
  if (views.every((view) => before[view] === told[view])) return before
  const after: Record<string, CommitSeq> = { ...before }
  for (const view of views) {
    const at = told[view]
    if (at === undefined) delete after[view]
    else after[view] = at
  }
  return after
}

function same<T>(a: Readonly<Record<string, T>>, b: Readonly<Record<string, T>>): boolean {
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key])
}
