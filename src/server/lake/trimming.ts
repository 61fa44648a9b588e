/**
 * Trims the lake: by a person's word, or by a stream's retention on a timer. State: whether a trim runs, the deletions
 * under way, and which refusals of the policy were told already.
 *
 * Why no number becomes wrong: before events go, every version that somebody may ask for has its state at the cut as
 * a base, and every version in the engine has slices beyond it, so nobody will fold those events again. Both are
 * looked at once more inside the turn in which manifests change, right before the one transaction that takes the
 * files off the list and remembers the cut. Files are deleted last, when nobody can have them open.
 */

import { recordAudit } from '../../catalog/journal.ts'
import { lakeManifest } from '../../catalog/lake.ts'
import { holdsLate, lateCut } from '../../catalog/late-cuts.ts'
import type { Catalog } from '../../catalog/open-catalog.ts'
import { recordTrim, trimOf } from '../../catalog/trims.ts'
import { readVersion, type VersionRow } from '../../catalog/versions.ts'
import type { CommitSeq } from '../../model/cut.ts'
import { RefoldError } from '../../model/errors.ts'
import type { JsonValue } from '../../model/schema.ts'
import { retainedFrom, trimBorder } from '../../run/retention.ts'
import type { TrimAnswer, TrimRequest } from '../../serve/core-lake.ts'
import { Serial } from '../../std/serial.ts'
import type { ServerContext } from '../context.ts'
import type { Sealing } from '../sealing.ts'
import { deleteLeftovers, filesOf, tellEngine } from './lake-files.ts'
import { promoteBase } from './promote-base.ts'
import { chainTo, needsPromotion, type TrimNeed, trimNeed, versionsOver } from './trim-needs.ts'

export class LakeTrimming {
  readonly #context: ServerContext
  readonly #sealing: Sealing
  readonly #turn = new Serial()
  #deletions: Promise<void> = Promise.resolve()
  #running: Promise<void> | undefined
  /** By stream the cut at which the policy was refused last. */
  readonly #refused = new Map<string, CommitSeq>()

  constructor(context: ServerContext, sealing: Sealing) {
    this.#context = context
    this.#sealing = sealing
  }

  /** Looks whether the retention of a stream lets events go; called by a timer. Never waits. */
  check(): void {
    if (this.#running !== undefined || this.#context.closing()) return
    this.#running = this.#byRetention().finally(() => {
      this.#running = undefined
    })
  }

  async settled(): Promise<void> {
    await this.#running
    await this.#turn.run(async () => {})
    await this.#deletions
  }

  /** Whoever moves borders of lake files takes turns with trims. */
  exclusive<T>(task: () => Promise<T>): Promise<T> {
    return this.#turn.run(task)
  }

  /** A person's trim, rounded down to a border of lake files. */
  trim(request: TrimRequest): Promise<TrimAnswer> {
    const { context, stream } = { context: this.#context, stream: request.stream }
    return this.#turn.run(async () => {
      const all = filesOf(lakeManifest(context.catalog).files, stream)
      const known = context.catalog.get('SELECT name FROM streams WHERE name = ?', stream)
      if (known === undefined) throw new RefoldError('STREAM_UNKNOWN', `there is no stream "${stream}"`)
      const cut = trimBorder(all, request.to)
      return await this.#trimTo(stream, cut, request)
    })
  }

  async #trimTo(
    stream: string,
    cut: CommitSeq,
    options: Pick<TrimRequest, 'promote' | 'dryRun' | 'reason'>,
  ): Promise<TrimAnswer> {
    const { catalog } = this.#context
    const files = filesOf(lakeManifest(catalog).files, stream).filter((file) => file.to <= cut)
    const rows = files.length === 0 ? [] : versionsOver(catalog, stream, cut)
    refuseForBatches(rows, stream, cut)
    refuseForHeld(catalog, rows, stream, cut)
    const needs = rows.map((row) => trimNeed(catalog, row, cut))
    const answer: TrimAnswer = {
      stream,
      cut: files.length === 0 ? (trimOf(catalog, stream)?.cut ?? 0) : cut,
      files: files.length,
      events: files.reduce((sum, file) => sum + file.rows, 0),
      bytes: files.reduce((sum, file) => sum + file.bytes, 0),
      needs: needs.map((need) => ({ ...need, promoted: needsPromotion(need) })),
      done: false,
    }
    if (options.dryRun === true || files.length === 0) return answer
    const unmet = needs.filter(needsPromotion)
    if (unmet.length > 0 && options.promote !== true) throw refusal(stream, cut, unmet)
    await this.#seal(rows, stream, cut)
    for (const row of rows) await promoteBase(this.#context, row, cut)
    this.#context.crash('trim.promoted')
    const reason = options.reason ?? 'asked for'
    const told = await this.#context.publications.run(async () => {
      const bases = this.#basesAt(stream, cut)
      recordTrim(catalog, { stream, cut, reason, bases })
      this.#context.crash('trim.recorded')
      return { swapped: tellEngine(this.#context) }
    })
    this.#deletions = this.#deletions.then(() => this.#delete(told.swapped))
    this.#context.logger.info('lake trimmed', { stream, cut, files: files.length, events: answer.events })
    return { ...answer, done: true }
  }

  /** What the engine holds must not lean on the events any more when it starts again: slices go beyond the cut. */
  async #seal(rows: readonly VersionRow[], stream: string, cut: CommitSeq): Promise<void> {
    const { supervisor, catalog } = this.#context
    const behind = () => rows.filter((row) => isBehind(readVersion(catalog, row.view, row.version), cut))
    const ready = behind().flatMap(({ view, version }) => {
      const progress = supervisor.viewProgress(view, version)
      return progress !== undefined && progress.cut >= cut ? [progress] : []
    })
    if (ready.length > 0) await this.#sealing.sealNow(ready)
    const [first] = behind()
    if (first === undefined) return
    const at = supervisor.viewProgress(first.view, first.version)?.cut ?? first.sealed
    throw new RefoldError(
      'TRIM_REFUSED',
      `version "${first.version.slice(0, 12)}" of view "${first.view}" has folded stream "${stream}" only up to cut ${at}`,
      { hint: 'Trim again once it has folded more; `refold status` shows how far it is.' },
    )
  }

  /** The slices of each version's base, looked up again: a version may have come since. */
  #basesAt(stream: string, cut: CommitSeq): Parameters<typeof recordTrim>[1]['bases'] {
    const { catalog } = this.#context
    return versionsOver(catalog, stream, cut).map((row) => {
      const chain = chainTo(catalog, row, cut, { basesOnly: true })
      if (chain.border !== cut || isBehind(row, cut)) {
        throw refusal(stream, cut, [trimNeed(catalog, row, cut)])
      }
      return { view: row.view, version: row.version, paths: chain.slices.map(({ path }) => path) }
    })
  }

  async #delete(swapped: Promise<void>): Promise<void> {
    try {
      await deleteLeftovers(this.#context, swapped)
    } catch (error) {
      // They stay remembered, and go with the next trim or at the next start.
      this.#context.logger.warn('deleting trimmed lake files failed', { reason: String(error) })
    }
  }

  async #byRetention(): Promise<void> {
    const { catalog, clock, logger } = this.#context
    for (const { name, retention } of this.#context.streams()) {
      if (retention?.lake === undefined || this.#context.closing()) continue
      const policy = retention.lake
      const cut = retainedFrom(policy, filesOf(lakeManifest(catalog).files, name), clock.nowMs())
      if (cut === 0 || this.#refused.get(name) === cut) continue
      try {
        const { promote } = policy
        await this.#turn.run(() => this.#trimTo(name, cut, { promote, reason: 'retention' }))
        this.#refused.delete(name)
      } catch (error) {
        if (this.#context.closing()) return
        const reason = error instanceof Error ? error.message : String(error)
        logger.warn('retention cannot trim the lake', { stream: name, cut, reason })
        if (!(error instanceof RefoldError && error.code === 'TRIM_REFUSED')) continue
        this.#refused.set(name, cut)
        recordAudit(catalog, 'trim refused', { stream: name, cut, reason })
      }
    }
  }
}

/** No base can stand for what a batch definition reads: it is any SQL, over all of history. */
function refuseForBatches(rows: readonly VersionRow[], stream: string, cut: CommitSeq): void {
  const needing = rows.filter(({ plan }) => plan.batch?.streams.some((read) => read.stream === stream))
  if (needing.length === 0) return
  const names = needing.map(({ view, version, state }) => `"${view}" ${version.slice(0, 12)} (${state})`)
  throw new RefoldError(
    'TRIM_REFUSED',
    `stream "${stream}" up to cut ${cut} is read by the batch SQL of ${names.join(', ')}, which runs over all of history`,
    { hint: 'Give these views one definition, whose state can be kept as a base, or keep the events.' },
  )
}

/** Late events that wait for a batch would be gone before it. */
function refuseForHeld(catalog: Catalog, rows: readonly VersionRow[], stream: string, cut: CommitSeq): void {
  const waiting = rows.filter(
    ({ view, version, plan, state }) =>
      state !== 'retired' && state !== 'failed' && holdsLate(plan) && lateCut(catalog, view, version) < cut,
  )
  const [first] = waiting
  if (first === undefined) return
  const names = waiting.map(({ view, version, state }) => `"${view}" ${version.slice(0, 12)} (${state})`)
  throw new RefoldError(
    'TRIM_REFUSED',
    `late events of stream "${stream}" up to cut ${cut} wait for the next batch of ${names.join(', ')}`,
    { hint: `Run \`refold batch ${first.view} --wait\` first.` },
  )
}

function isBehind(row: VersionRow | undefined, cut: CommitSeq): boolean {
  if (row === undefined || row.state === 'retired' || row.state === 'failed') return false
  return row.sealed < cut
}

function refusal(stream: string, cut: CommitSeq, needs: readonly TrimNeed[]): RefoldError {
  const names = needs.map(({ view, version, state }) => `"${view}" ${version.slice(0, 12)} (${state})`)
  return new RefoldError(
    'TRIM_REFUSED',
    `stream "${stream}" up to cut ${cut} is needed by ${needs.length === 1 ? 'version' : 'versions'} ${names.join(', ')}`,
    { details: { stream, cut, needs: needs.map((need) => ({ ...need })) as unknown as JsonValue } },
  )
}
