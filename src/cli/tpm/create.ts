// kleidi tpm create: a new KEK in the TPM of this machine, which never leaves it.
import { awaitDaemon } from '../../admin/follow.ts';
import { stateBeforePin, takeUpPin } from '../../admin/pin/takeup.ts';
import { verifiedDigest } from '../../admin/ring/verifieddigest.ts';
import { createStagedTpmKek } from '../../admin/tpm/entry.ts';
import { requireTpmDropIn } from '../../admin/tpm/unit.ts';
import { loadConfig } from '../../config.ts';
import { usage } from '../../errors.ts';
import { withRingLock } from '../../keyring/ringfile.ts';
import { print, printJson, warn } from '../../terminal.ts';
import { noteNextPromotion } from '../nextpromotion.ts';
import { flag, jsonOption } from '../option.ts';
import { command } from '../verb.ts';

export const tpmCreate = command({
  changes: true,
  summary: 'a new KEK in the TPM of this machine, staged',
  notes: [
    `A new KEK that the TPM of this machine makes and keeps: root of this machine can use it, and
    nobody can carry it away. No other member can have it, and with this board it is gone: what is
    sealed under it then is lost. For clusters with one control-plane machine, whose Secrets can
    be made again.`,
    `It is staged; kleidi key promote has it written with, and a rewrite moves what is there. The
    daemon is restarted on its socket, so that it gets the PIN: no call is lost. It needs the
    drop-in tpm.conf.`,
  ],
  options: {
    'single-master': flag('this cluster has one control-plane machine'),
    'accept-no-recovery': flag('what this KEK seals may be lost with this board'),
    json: jsonOption,
  },
  example: 'kleidi tpm create --single-master --accept-no-recovery',
  async run(options) {
    for (const name of ['single-master', 'accept-no-recovery'] as const) {
      if (!options.flag(name)) throw usage(`a KEK in a TPM has no copy: say so by --${name}`);
    }
    const config = loadConfig(options.configPath);
    await requireTpmDropIn(config);
    const before = await stateBeforePin(config);
    const { kek, ring } = await withRingLock(config.ring, () => createStagedTpmKek(config));
    const digest = await verifiedDigest(config, ring);
    if (options.json) printJson({ fp: kek.fp, state: 'staged', provider: 'tpm', digest });
    else print(`KEK ${kek.fp} is in the TPM of this machine, staged`);
    if (digest !== null && !options.json) noteNextPromotion(ring, kek.fp);
    warn('this KEK has no recovery: with this board, what is sealed under it is lost');
    await takeUpPin(config, options.configPath, before);
    await awaitDaemon(config, ring, before, [kek.fp]);
    return 0;
  },
});
