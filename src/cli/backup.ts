/**
 * `refold backup`: copies a data folder at one cut while events flow. The server names the files and keeps them while
 * its answer is open; the copying is done here. State: that open answer.
 */

import { resolve } from 'node:path'
import { Command } from 'commander'
import { type ErrorBody, fromErrorBody, RefoldError } from '../model/errors.ts'
import type { BackupBegin, BackupFile } from '../server/lake/backup-types.ts'
import { lockFolder } from '../std/lock.ts'
import { openClient } from './client.ts'
import { addExamples, addServerOptions, type ServerOptions } from './command-options.ts'
import { exitCodes } from './exit-codes.ts'
import type { Cli } from './terminal.ts'

interface BackupOptions extends ServerOptions {
  readonly data?: string
  readonly slices: boolean
  readonly check?: boolean
}

interface BackupList {
  readonly begin: BackupBegin
  readonly files: readonly BackupFile[]
  /** Throws when the files are no longer held. */
  check(): void
}

export function backupCommand(cli: Cli): Command {
  const command = new Command('backup')
    .description(
      'copy catalog, log and lake at one cut into a folder, while events flow; again, only what is new',
    )
    .argument('<dest>', 'folder of the backup; one that is there is brought up to date')
    .option('--data <folder>', 'copy this data folder, which no server has open, instead of asking a server')
    .option('--no-slices', 'leave out slices that can be folded again')
    .option('--check', 'then open the copy, fold every live view again, and compare')
  addServerOptions(command)
    .option('--json', 'print one JSON object: cut, files, bytes, kept, checked')
    .action((dest: string, options: BackupOptions) => runBackup(cli, resolve(cli.cwd, dest), options))
  return addExamples(command, [
    { does: 'the running server, into a folder on another disk', run: 'refold backup /mnt/backup/shop' },
    {
      does: 'a stopped one, and prove that the copy gives the same numbers',
      run: 'refold backup /mnt/backup/shop --data .refold --check',
    },
  ])
}

async function runBackup(cli: Cli, dest: string, options: BackupOptions): Promise<void> {
  const { mkdir } = await import('node:fs/promises')
  await mkdir(dest, { recursive: true })
  const locked = lockFolder(dest)
  if (!locked.ok) {
    throw new RefoldError('LOG_LOCKED', `another command writes the backup "${dest}"`, {
      hint: 'Wait for it, or name another folder.',
    })
  }
  try {
    const made = await (options.data === undefined
      ? withServerList(cli, options, (list) => copy(cli, dest, list))
      : withFolderList(resolve(cli.cwd, options.data), options, (list) => copy(cli, dest, list)))
    const { manifest, ...progress } = made
    const checked = options.check === true ? await checkBackup(cli, dest) : undefined
    const { cut, at } = manifest
    if (options.json === true) {
      await cli.terminal.data(`${JSON.stringify({ cut, at, ...progress, ...(checked && { checked }) })}\n`)
    } else {
      await cli.terminal.data(
        `backup at cut ${cut}: ${progress.files} files, ${progress.bytes} bytes copied, ${progress.kept} files were there\n`,
      )
    }
  } finally {
    locked.lock.release()
  }
}

async function copy(cli: Cli, dest: string, { begin, files, check }: BackupList) {
  const { copyToBackup } = await import('../server/lake/backup-copy.ts')
  return await copyToBackup(dest, begin, files, {
    check,
    onProgress: ({ files: done }) => cli.terminal.progress(`backup: ${done} of ${files.length} files`),
  }).finally(() => cli.terminal.endProgress())
}

/** The server's list; the answer stays open while `work` runs, and `check` throws once it is not. */
async function withServerList<T>(
  cli: Cli,
  options: BackupOptions,
  work: (list: BackupList) => Promise<T>,
): Promise<T> {
  const client = openClient(options, cli.env)
  const stop = new AbortController()
  try {
    const query = options.slices ? {} : { slices: 'false' }
    const lines = client.lines({ path: '/v1/backup', query, signal: stop.signal })
    const list = await readList(lines)
    let over: unknown
    const ended = new RefoldError(
      'CLI_UNREACHABLE',
      `the server at "${client.url}" ended during the backup`,
      {
        hint: 'Run the backup again: nothing of it counts; the one before is still there.',
      },
    )
    lines.next().then(
      () => (over = ended),
      () => (over = ended),
    )
    return await work({
      ...list,
      check: () => {
        if (over !== undefined) throw over
      },
    })
  } finally {
    stop.abort()
    client.close()
  }
}

async function readList(lines: AsyncGenerator<string>): Promise<Omit<BackupList, 'check'>> {
  let begin: BackupBegin | undefined
  const files: BackupFile[] = []
  for (;;) {
    const { value, done } = await lines.next()
    if (done === true) throw new RefoldError('CLI_ANSWER', "the server's list of files ended early")
    const line = JSON.parse(value) as { kind?: string; error?: ErrorBody }
    if (line.error !== undefined) throw fromErrorBody(line.error)
    if (line.kind === 'begin') begin = line as unknown as BackupBegin
    else if (line.kind === 'file') files.push(line as unknown as BackupFile)
    else if (line.kind === 'end' && begin !== undefined) return { begin: withoutKind(begin), files }
  }
}

function withoutKind({ format, id, cut, slices, at, lastCommitAt }: BackupBegin): BackupBegin {
  return { format, id, cut, slices, at, lastCommitAt }
}

async function withFolderList<T>(
  dataDir: string,
  options: BackupOptions,
  work: (list: BackupList) => Promise<T>,
): Promise<T> {
  const { existsSync } = await import('node:fs')
  if (!existsSync(`${dataDir}/catalog.sqlite`)) {
    throw new RefoldError('CLI_USAGE', `"${dataDir}" is no data folder: it has no catalog.sqlite`)
  }
  const { withDataFolder } = await import('../server/lake/backup-offline.ts')
  const { serverBackup } = await import('../server/lake/backup-manifest.ts')
  return await withDataFolder(dataDir, async (parts) => {
    const stop = new AbortController()
    const list = serverBackup(parts, { slices: options.slices, signal: stop.signal })
    try {
      const lines = (async function* () {
        for await (const line of list) yield JSON.stringify(line)
      })()
      return await work({ ...(await readList(lines)), check: () => {} })
    } finally {
      stop.abort()
      await list.return(undefined)
    }
  })
}

/** Opens a copy beside the backup, in which every live view is folded again. */
async function checkBackup(cli: Cli, dest: string) {
  const { copyFromBackup, readManifest } = await import('../server/lake/backup-copy.ts')
  const { rm } = await import('node:fs/promises')
  const folder = `${dest}/checking`
  await rm(folder, { recursive: true, force: true })
  try {
    const manifest = await readManifest(dest)
    await copyFromBackup(dest, manifest, folder, { linked: true })
    return await checkCopy(
      cli,
      folder,
      manifest.files.map(({ path }) => path),
    )
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Folds every live view of a restored folder again; says what it found and sets the exit code. */
export async function checkCopy(cli: Cli, folder: string, paths: readonly string[]) {
  const { checkFolder, forgetAbsentSlices } = await import('../server/lake/backup-offline.ts')
  forgetAbsentSlices(folder, paths)
  cli.terminal.progress('folding every live view again')
  const checked = await checkFolder(folder).finally(() => cli.terminal.endProgress())
  for (const { view, cut, rows, differing } of checked) {
    const verdict = differing === 0 ? `${rows} rows, the same` : `${differing} rows differ of ${rows}`
    cli.terminal.talk(`view "${view}" folded again up to cut ${cut}: ${verdict}`)
    if (differing > 0) cli.exitCode = exitCodes.damaged.code
  }
  return checked
}
