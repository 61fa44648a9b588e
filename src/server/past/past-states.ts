/**
 * The past inside the server: which slices make a state, and the questions that go to the past engine. State: which
 * slice files are in use by a question, which turned out damaged or gone, and whether it has ended.
 *
 * While a question runs, the log's and the lake's files that it reads are pinned, and its slices are named in `used`,
 * which cleaning up respects. A slice that does not check is left aside and the question is asked again: without it
 * the events are folded instead, so it costs time and no answer.
 */

import { fitsLateCut, holdsLate, lateCutAt } from '../../catalog/late-cuts.ts'
import type { Catalog } from '../../catalog/open-catalog.ts'
import { skippedOf } from '../../catalog/skipped.ts'
import { type PastSliceRow, pastSlicesOf } from '../../catalog/slices.ts'
import { latestStreams } from '../../catalog/streams.ts'
import { historyTrimmed, trimmedBeyond } from '../../catalog/trims.ts'
import { readVersion, type VersionRow } from '../../catalog/versions.ts'
import type { PlannedFunction } from '../../define/function-def.ts'
import type { Rows } from '../../engine/engine.ts'
import type { PastEngine, PastRequest, PastSqlRead, PastState, PastViewRead } from '../../engine/past.ts'
import type { CommitSeq, VersionId } from '../../model/cut.ts'
import { RefoldError } from '../../model/errors.ts'
import type { StreamDef } from '../../model/schema.ts'
import { BATCH_PART } from '../../plan/batch-columns.ts'
import type { ViewPlan } from '../../plan/plan.ts'
import { partNames } from '../../plan/queries.ts'
import { sliceChain } from '../../run/slice-chain.ts'
import type { Logger } from '../../std/logger.ts'
import { referenceCopies } from '../plan-batch-layer.ts'
import type { SourcePins } from '../source-pins.ts'
import { definitionCutAt } from './definition-cut.ts'
import type { AskOptions, Past, PastQuestion, StateOptions } from './past.ts'

export interface PastParts {
  readonly catalog: Catalog
  readonly logger: Logger
  readonly pins: SourcePins
  readonly engine: PastEngine
  readonly streams: () => readonly StreamDef[]
  /** Those of the project that is served. */
  readonly functions?: () => readonly PlannedFunction[]
  /** Makes durable what the engine reported as skipped. */
  readonly writeSkips: () => void
  readonly timeoutMs: () => number
}

interface PastLayer {
  readonly definition: NonNullable<PastState['definition']>
  readonly slice: PastSliceRow | undefined
}

/** How often a question is asked again because another of its slices was damaged. */
const TRIES = 20

export class PastStates implements Past {
  readonly #parts: PastParts
  readonly #damaged = new Set<string>()
  /** By path: how many questions use the slice. */
  readonly #used = new Map<string, number>()
  #stopped = false

  constructor(parts: PastParts) {
    this.#parts = parts
  }

  isUsed(path: string): boolean {
    return this.#used.has(path)
  }

  stateAt(view: string, version: VersionId, cut: CommitSeq, options: StateOptions = {}): PastState {
    const { catalog } = this.#parts
    const row = readVersion(catalog, view, version)
    if (row === undefined) {
      throw new RefoldError('VERSION_UNKNOWN', `view "${view}" has no version "${version}"`)
    }
    const stage = row.plan.stages[0]
    const late = holdsLate(row.plan)
      ? Math.min(cut, options.lateCut ?? lateCutAt(catalog, view, version, cut))
      : undefined
    const usable = pastSlicesOf(catalog, view, version).filter(
      (slice) =>
        !this.#damaged.has(slice.path) &&
        (slice.base || options.fromLog !== true) &&
        (late === undefined || fitsLateCut(slice, late)),
    )
    const parts = stage === undefined ? [] : partNames(stage)
    const start = Math.min(Math.max(row.start, options.after ?? 0), cut)
    const layer = options.after === undefined ? row.plan.batch && this.#layer(row, cut, options) : undefined
    const own = layer?.slice === undefined ? [] : [layer.slice]
    const { slices: chain, border } = sliceChain(usable, parts, layer?.definition.to ?? start, cut)
    const slices = [...own, ...chain]
    this.#refuseTrimmed(row, cut, border, layer)
    this.#parts.writeSkips()
    return {
      view,
      version,
      plan: options.after === undefined ? row.plan : speedPlan(row.plan),
      slices: slices.map(({ stage: name, part, path, from, to, rows, bytes, checksum }) => ({
        ...{ view, version, stage: name, part, path, from, to, rows, bytes, checksum },
      })),
      border,
      cut,
      ...(late === undefined ? {} : { batch: { cut: late } }),
      ...(layer && { definition: layer.definition }),
      skipped: skippedOf(catalog, view, version)
        .filter(({ commit }) => commit <= cut)
        .map(({ commit, index }) => ({ commit, index })),
    }
  }

  /** The batch layer of a version with two definitions: the rows that it had, or would have, at its last batch. */
  #layer(row: VersionRow, cut: CommitSeq, options: StateOptions): PastLayer {
    const { catalog } = this.#parts
    const { view, version, start } = row
    const to = Math.max(start, Math.min(cut, options.lateCut ?? definitionCutAt(catalog, row, cut)))
    const copies = referenceCopies(catalog.folder)
    const slice = pastSlicesOf(catalog, view, version).findLast(
      (one) =>
        one.part === BATCH_PART &&
        one.to === to &&
        one.from === start &&
        options.fromLog !== true &&
        !this.#damaged.has(one.path),
    )
    return { definition: { from: Math.min(start, to), to, copies }, slice }
  }

  #refuseTrimmed(row: VersionRow, cut: CommitSeq, border: CommitSeq, layer: PastLayer | undefined): void {
    const { catalog } = this.#parts
    const { view, version, plan } = row
    const isRun =
      layer !== undefined && layer.slice === undefined && layer.definition.to > layer.definition.from
    const from = isRun ? layer.definition.from : border
    const trim = trimmedBeyond(catalog, plan.streams, from)
    if (trim === undefined || from >= cut) return
    throw historyTrimmed(`version "${version.slice(0, 12)}" of view "${view}" at cut ${cut}`, trim)
  }

  query(question: PastQuestion): Promise<readonly Rows[]> {
    const { states, statements, timeoutMs, signal } = question
    const functions = [...(this.#parts.functions?.() ?? []), ...(question.functions ?? [])]
    return this.#ask(states, timeoutMs, (request, current) =>
      this.#parts.engine.query({ ...request, states: current, statements, functions }, signal),
    )
  }

  read(state: PastState, read: PastViewRead['read'], options: AskOptions = {}): Promise<Rows> {
    return this.#ask({ state }, options.timeoutMs, (request, { state: current = state }) =>
      this.#parts.engine.read({ ...request, state: current, read }, options.signal),
    )
  }

  sql(
    read: Pick<PastSqlRead, 'cut' | 'states' | 'sql' | 'refused'>,
    options: AskOptions = {},
  ): Promise<Rows & { readonly views: readonly string[] }> {
    return this.#ask(read.states, options.timeoutMs, (request, states) =>
      this.#parts.engine.sql({ ...request, ...read, states }, options.signal),
    )
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#parts.engine.stop()
  }

  async #ask<T>(
    states: Readonly<Record<string, PastState>>,
    timeoutMs: number | undefined,
    ask: (request: PastRequest, states: Readonly<Record<string, PastState>>) => Promise<T>,
  ): Promise<T> {
    let current = states
    for (let tries = 1; ; tries++) {
      // A request would start the process again.
      if (this.#stopped) throw new RefoldError('SERVER_STOPPING', 'the server is stopping')
      const release = this.#use(current)
      try {
        return await this.#parts.pins.with((sources) => {
          const request = {
            streams: this.#streams(),
            sources,
            timeoutMs: timeoutMs ?? this.#parts.timeoutMs(),
          }
          return ask(request, current)
        })
      } catch (error) {
        const damaged = damagedPath(error)
        if (damaged === undefined || tries >= TRIES) throw error
        this.#parts.logger.warn('slice left aside for reads of the past', { path: damaged })
        this.#damaged.add(damaged)
        current = Object.fromEntries(
          Object.entries(current).map(([name, state]) => [name, this.#without(state, damaged)]),
        )
      } finally {
        release()
      }
    }
  }

  /** Old versions may read streams that the project no longer has. */
  #streams(): readonly StreamDef[] {
    const own = this.#parts.streams()
    const names = new Set(own.map(({ name }) => name))
    return [...own, ...latestStreams(this.#parts.catalog).filter(({ name }) => !names.has(name))]
  }

  /** The same state by another chain, where its chain has the damaged slice. */
  #without(state: PastState, damaged: string): PastState {
    if (!state.slices.some(({ path }) => path === damaged)) return state
    const { view, version, cut, lateOnly, batch } = state
    const upTo = lateOnly === undefined ? cut : Math.min(cut, lateOnly.after)
    const at = state.definition?.to ?? batch?.cut
    const options = at === undefined ? {} : { lateCut: at }
    const { slices, border } = this.stateAt(view, version, upTo, options)
    return { ...state, slices, border }
  }

  #use(states: Readonly<Record<string, PastState>>): () => void {
    const paths = Object.values(states).flatMap(({ slices }) => slices.map(({ path }) => path))
    for (const path of paths) this.#used.set(path, (this.#used.get(path) ?? 0) + 1)
    return () => {
      for (const path of paths) {
        const left = (this.#used.get(path) ?? 1) - 1
        if (left === 0) this.#used.delete(path)
        else this.#used.set(path, left)
      }
    }
  }
}

/** The speed layer of two definitions by itself. */
function speedPlan({ batch: _, ...plan }: ViewPlan): ViewPlan {
  return plan
}

function damagedPath(error: unknown): string | undefined {
  if (!(error instanceof RefoldError) || error.code !== 'SLICE_CORRUPT') return undefined
  const { path } = { path: undefined, ...(error.details as { readonly path?: string } | undefined) }
  return path
}
