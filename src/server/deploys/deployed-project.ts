/**
 * Which definitions a data folder runs with: those of the newest deploy that answers, whatever the project's file says
 * by now. The file gives settings, new streams and compatible changes of streams. No state.
 */

import { deployRows, newestDeploy } from '../../catalog/deploys.ts'
import type { Catalog } from '../../catalog/open-catalog.ts'
import { runOf } from '../../catalog/runs.ts'
import { latestStreams } from '../../catalog/streams.ts'
import { readVersion, serving, tickingStates, versions } from '../../catalog/versions.ts'
import type { ProjectDef, ViewDef } from '../../define/types.ts'
import type { StreamDef } from '../../model/schema.ts'
import { streamRefusals } from '../stream-changes.ts'
import { toDeploy } from './deploy-record.ts'

/** Whether anything was ever put in place; what was taken over without a deploy counts. */
export function isDeployed(catalog: Catalog): boolean {
  return Object.keys(serving(catalog)).length > 0 || deployRows(catalog).length > 0
}

/** The project that runs: settings of the file, definitions as deployed. */
export function deployedProject(file: ProjectDef, catalog: Catalog): ProjectDef {
  return withDefinitions({ ...file, streams: startStreams(file, catalog) }, catalog)
}

/** The same project with the definitions of the newest deploy that answers; streams stay. */
export function withDefinitions(project: ProjectDef, catalog: Catalog): ProjectDef {
  const deployed = newestDefinitions(catalog)
  if (deployed === undefined) return { ...project, views: recordedViews(catalog) }
  // How views run is what the catalog says: a rollback of one view takes back nothing of the project's other views.
  const views = deployed.views.map((view) => ({ ...view, run: runOf(catalog, view.name) }))
  const { root, file, dataDir, server, engine, streams, seal, history, verify, limits } = project
  const settings = { root, file, dataDir, server, engine, streams, seal, limits }
  return {
    ...{ ...project, ...deployed, ...settings, views },
    ...(history === undefined ? {} : { history }),
    ...(verify === undefined ? {} : { verify }),
  }
}

export function newestDefinitions(catalog: Catalog): ProjectDef | undefined {
  const newest = newestDeploy(catalog, ['live'])
  return newest === undefined ? undefined : toDeploy(newest).request.project
}

/** Streams for the start: the file's where old events fit them, and as recorded those that are deployed or read beside. */
function startStreams(file: ProjectDef, catalog: Catalog): readonly StreamDef[] {
  const recorded = latestStreams(catalog)
  const fits = (after: StreamDef): boolean => streamRefusals(catalog, after).length === 0
  const own = file.streams.map((stream) =>
    fits(stream) ? stream : (recorded.find(({ name }) => name === stream.name) ?? stream),
  )
  // A stream goes by a deploy alone: a file that lacks it may be older than what is deployed.
  const deployed = (newestDefinitions(catalog)?.streams ?? []).flatMap(({ name }) =>
    own.some((stream) => stream.name === name) ? [] : recorded.filter((stream) => stream.name === name),
  )
  const all = [...own, ...deployed]
  return [...all, ...readStreams(catalog, all)]
}

/** Recorded streams that are not among these, but that a version reads which ticks. */
export function readStreams(catalog: Catalog, own: readonly StreamDef[]): readonly StreamDef[] {
  const missing = new Set(
    versions(catalog)
      .filter(({ state }) => tickingStates.includes(state) || state === 'building')
      .flatMap(({ plan }) => plan.streams)
      .filter((name) => !own.some((stream) => stream.name === name)),
  )
  return missing.size === 0 ? [] : latestStreams(catalog).filter(({ name }) => missing.has(name))
}

/** Views of a folder that was filled without deploys. */
function recordedViews(catalog: Catalog): readonly ViewDef[] {
  return Object.entries(serving(catalog)).flatMap(([view, version]) => {
    const row = readVersion(catalog, view, version)
    if (row === undefined) return []
    const { sql, onError } = row
    const sqlPlace = { file: `${view}.sql`, line: 1, column: 1 }
    return [{ name: view, sql, sqlPlace, run: runOf(catalog, view), onError }]
  })
}
