/**
 * Loads a project file into a `ProjectDef`, or says everything that is wrong with it.
 */

import type { LoadResult } from './types.ts'

/** Takes a project file or its folder. Every call reads all files anew. */
export async function loadProject(path: string): Promise<LoadResult> {
  throw new Error(`not built yet: ${path}`)
}
