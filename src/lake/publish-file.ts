/**
 * Gives a staged file its final name, durably. Only the server calls this, before it lists the file in the catalog.
 * The file's content was synced when it was staged; here the name is. No state.
 */

import { dirname } from 'node:path'
import { type Files, realFiles } from '../std/files.ts'

/** Renames `staged` to `final` and returns once the name is on the disk; the folder is made where it is missing. */
export async function publishFile(staged: string, final: string, files: Files = realFiles): Promise<void> {
  const folder = dirname(final)
  if ((await files.size(folder)) === undefined) {
    await files.mkdir(folder)
    await files.syncDir(dirname(folder))
  }
  await files.rename(staged, final)
  await files.syncDir(folder)
}
