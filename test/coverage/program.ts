// kleidi from its source, as the coverage run starts it: V8 then counts in src itself.
import { main } from '../../src/main.ts';

process.exitCode = await main(process.argv.slice(2));
