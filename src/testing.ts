/** What tests of a project import from 'refold/testing'. */

export { loadProject } from './define/load.ts'
export type { LoadResult, ProjectDef } from './define/types.ts'
export type { DecodedEvent, RefusedEvent } from './ingest/decoded-event.ts'
export { tryEvent } from './ingest/try-event.ts'
