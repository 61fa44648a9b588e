/** `refold restore`: makes a data folder of a backup, every byte of it checked. No state. */

import { resolve } from 'node:path'
import { Command } from 'commander'
import { RefoldError } from '../model/errors.ts'
import { errnoOf } from '../std/files.ts'
import { checkCopy } from './backup.ts'
import { addExamples } from './command-options.ts'
import type { Cli } from './terminal.ts'

interface RestoreOptions {
  readonly data: string
  readonly check?: boolean
  readonly json?: boolean
}

export function restoreCommand(cli: Cli): Command {
  const command = new Command('restore')
    .description('make a data folder of a backup; every file is checked')
    .argument('<src>', 'folder of the backup')
    .requiredOption('--data <folder>', 'the data folder, which must be empty or not there')
    .option('--check', 'fold every live view again and compare, before the folder is put in place')
    .option('--json', 'print one JSON object: cut, files, bytes, checked')
    .action((src: string, options: RestoreOptions) => runRestore(cli, resolve(cli.cwd, src), options))
  return addExamples(command, [
    { does: 'into the project in this folder', run: 'refold restore /mnt/backup/shop --data .refold' },
    {
      does: 'beside it, to see whether the backup is good',
      run: 'refold restore /mnt/backup/shop --data /tmp/shop --check',
    },
  ])
}

async function runRestore(cli: Cli, src: string, options: RestoreOptions): Promise<void> {
  const { mkdir, readdir, rename, rm, rmdir } = await import('node:fs/promises')
  const { copyFromBackup, readManifest } = await import('../server/lake/backup-copy.ts')
  const { terminal } = cli
  const target = resolve(cli.cwd, options.data)
  const names = await readdir(target).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  })
  if (names !== undefined && names.length > 0) {
    throw new RefoldError('CLI_FILE_EXISTS', `"${target}" is not empty`, {
      hint: 'Name a folder that is not there yet; move the old data folder away yourself.',
    })
  }
  const manifest = await readManifest(src)
  const partial = `${target}.restoring`
  await rm(partial, { recursive: true, force: true })
  await mkdir(partial, { recursive: true })
  try {
    const progress = await copyFromBackup(src, manifest, partial, {
      onProgress: ({ files }) => terminal.progress(`restore: ${files} of ${manifest.files.length} files`),
    }).finally(() => terminal.endProgress())
    const paths = manifest.files.map(({ path }) => path)
    const checked = options.check === true ? await checkCopy(cli, partial, paths) : undefined
    if (checked === undefined) {
      const { forgetAbsentSlices } = await import('../server/lake/backup-offline.ts')
      forgetAbsentSlices(partial, paths)
    }
    if (checked?.some(({ differing }) => differing > 0)) return
    if (names !== undefined) await rmdir(target)
    await rename(partial, target)
    const { realFiles } = await import('../std/files.ts')
    await realFiles.syncDir(resolve(target, '..'))
    const { cut, at } = manifest
    const { files, bytes } = progress
    if (options.json === true) {
      await terminal.data(`${JSON.stringify({ cut, at, files, bytes, ...(checked && { checked }) })}\n`)
    } else await terminal.data(`"${target}" holds the log up to cut ${cut}, as of ${at}: ${files} files\n`)
  } finally {
    await rm(partial, { recursive: true, force: true })
  }
}
