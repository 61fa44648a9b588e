/**
 * Compares a project's streams with every schema under which the log of its data folder still holds events. No state.
 *
 * Which those are is read off the catalog alone, before the log is open: a schema counts unless all commits under it
 * are trimmed, or lie in the lake without a file of the stream.
 */

import { lakeManifest } from '../catalog/lake.ts'
import type { Catalog } from '../catalog/open-catalog.ts'
import { latestStreams, schemaHistory } from '../catalog/streams.ts'
import { trims } from '../catalog/trims.ts'
import { fieldMentions } from '../define/field-mentions.ts'
import {
  type ChangeFault,
  type HeldSchema,
  partitionFaults,
  type RefusedChange,
  refusedChanges,
} from '../define/stream-change.ts'
import type { ProjectDef, ViewDef } from '../define/types.ts'
import { RefoldError } from '../model/errors.ts'
import type { JsonValue, StreamDef } from '../model/schema.ts'

const PLACES_SHOWN = 5

/** Changes that old events do not fit, each with its reason. A stream that is left out keeps its events. */
export function streamMistakes(catalog: Catalog, project: ProjectDef): readonly RefoldError[] {
  return project.streams.flatMap((stream) =>
    streamRefusals(catalog, stream).map((fault) => mistake(stream, fault, project)),
  )
}

/** What keeps a stream from taking this definition; empty for one that may. */
export function streamRefusals(
  catalog: Catalog,
  next: StreamDef,
): readonly (ChangeFault & Partial<RefusedChange>)[] {
  const held = heldSchemas(catalog, next.name)
  const latest = latestStreams(catalog).find(({ name }) => name === next.name)
  const counted = held.some(({ def }) => def === held.at(-1)?.def && sameStream(def, latest))
  const fixed = latest === undefined || counted ? [] : partitionFaults(latest, next)
  return [...fixed, ...refusedChanges(held, next)]
}

/** Schemas of the stream under which there are still events, oldest first. */
export function heldSchemas(catalog: Catalog, stream: string): readonly HeldSchema[] {
  const history = schemaHistory(catalog).filter((version) => version.stream === stream)
  const trimmed = trims(catalog).find((trim) => trim.stream === stream)?.cut ?? 0
  const { through, files } = lakeManifest(catalog)
  const own = files.filter((file) => file.stream === stream)
  return history
    .filter(({ since }, index) => {
      const until = history[index + 1]?.since ?? Number.POSITIVE_INFINITY
      if (until <= trimmed) return false
      return until > through || own.some((file) => file.from < until && file.to > since)
    })
    .map(({ since, def }) => ({ since, def }))
}

function sameStream(a: StreamDef, b: StreamDef | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

function mistake(
  stream: StreamDef,
  fault: ChangeFault & Partial<RefusedChange>,
  project: ProjectDef,
): RefoldError {
  const { rule, field, message, hint, since = [] } = fault
  const broken = field === '' ? [] : project.views.flatMap((view) => brokenBy(view, stream, field))
  const shown = broken.slice(0, PLACES_SHOWN).map(({ view, at }) => `"${view}" at ${at}`)
  const views = shown.length === 0 ? '' : `; it breaks view ${shown.join(', ')}`
  const details = { stream: stream.name, field, rule, since, broken } as unknown as JsonValue
  return new RefoldError(
    'STREAM_CHANGED',
    `stream "${stream.name}": ${message}${schemasText(since)}${views}`,
    {
      hint,
      place: { file: project.file },
      details,
    },
  )
}

function schemasText(since: readonly number[]): string {
  if (since.length === 0) return ''
  const cuts = since.map((cut) => (cut === 0 ? 'the beginning' : `cut ${cut}`)).join(', ')
  return ` (${since.length === 1 ? 'schema' : 'schemas'} since ${cuts})`
}

/** The places of a view at which it speaks of the field, as `file:line:column`. */
function brokenBy(view: ViewDef, stream: StreamDef, field: string): readonly { view: string; at: string }[] {
  const top = field.split(/[.[{]/, 1)[0] ?? field
  return fieldMentions(view, stream.name, top).map(({ file, line, column }) => ({
    view: view.name,
    at: `${file}:${line}:${column}`,
  }))
}
