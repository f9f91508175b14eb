/* INFO tier: what is hot and cold, and what lies on flash. */
#include "server/cmd/info.h"
#include "server/flash.h"
#include "server/server.h"
#include "tier/trainer.h"

/* Ratio: payloads handed to the tier by what their records took, headers included. */
static void compression(struct call *c, const struct tier_stats *t, struct buf *b)
{
    struct trainer_stats tr;
    trainer_stats(c->server->trainer, &tr);
    info_number(b, "tier_value_bytes_in", t->value_bytes_in);
    info_number(b, "tier_value_bytes_out", t->value_bytes_out);
    info_field(b, "tier_compression_ratio", "%.2f",
               t->value_bytes_out ? (double)t->value_bytes_in / (double)t->value_bytes_out : 1.0);
    info_number(b, "tier_values_with_dictionary", t->values_with_dictionary);
    info_number(b, "tier_dictionary_id", tr.newest);
    info_number(b, "tier_dictionaries", tr.dictionaries);
    info_number(b, "tier_dictionary_trainings", tr.trainings);
    info_number(b, "tier_dictionary_failures", tr.failures);
}

static void flash(struct call *c, struct buf *b)
{
    struct flash_info f;
    flash_info(c->server->flash, &f);
    info_number(b, "tier_max_bytes", c->server->config->tier_max_bytes);
    info_number(b, "tier_live_bytes_estimated", f.live);
    info_number(b, "tier_full", f.full);
    info_number(b, "tier_evicting", f.evicting);
    info_number(b, "tier_compacting", f.compacting);
    info_number(b, "tier_compactions", f.rounds);
}

void info_tier(struct call *c, struct buf *b)
{
    struct server *s = c->server;
    struct tier_stats sum = {0}, t;
    struct store_stats store = {0};
    uint64_t keys = info_figure_all(c, FIGURE_AT(keys)), cold = info_figure_all(c, FIGURE_AT(cold));
    uint64_t bytes = info_figure_all(c, FIGURE_AT(bytes)), late = 0;
    for (unsigned i = 0; i < s->nshards; i++) {
        tier_stats(s->shards[i]->tier, &t);
        sum.fetches += t.fetches;
        sum.fetch_hits_joined += t.fetch_hits_joined;
        sum.fetch_errors += t.fetch_errors;
        sum.drops += t.drops;
        sum.dropped_probation += t.dropped_probation;
        sum.cleaned += t.cleaned;
        sum.clean_batches += t.clean_batches;
        sum.clean_bytes += t.clean_bytes;
        sum.clean_errors += t.clean_errors;
        sum.fetches_waiting += t.fetches_waiting;
        sum.batches_waiting += t.batches_waiting;
        sum.value_bytes_in += t.value_bytes_in;
        sum.value_bytes_out += t.value_bytes_out;
        sum.values_with_dictionary += t.values_with_dictionary;
        late += atomic_load_explicit(&s->shards[i]->stats.fetched_late, memory_order_relaxed);
    }
    if (s->store != NULL)
        s->store->ops->stats(s->store, &store);
    info_number(b, "tier_hot_keys", keys - cold);
    info_number(b, "tier_hot_bytes", bytes);
    info_number(b, "tier_cold_keys", cold);
    info_number(b, "tier_cold_bytes", info_figure_all(c, FIGURE_AT(cold_bytes)));
    info_number(b, "tier_dirty_keys", info_figure_all(c, FIGURE_AT(dirty)));
    info_number(b, "tier_tombs", info_figure_all(c, FIGURE_AT(tombs)));
    info_number(b, "tier_fetches", sum.fetches);
    info_number(b, "tier_fetches_joined", sum.fetch_hits_joined);
    info_number(b, "tier_fetches_waiting", sum.fetches_waiting);
    info_number(b, "tier_fetched_in_scripts", late);
    info_number(b, "tier_fetch_errors", sum.fetch_errors);
    info_number(b, "tier_drops", sum.drops);
    info_number(b, "tier_drops_on_probation", sum.dropped_probation);
    info_number(b, "tier_cleaned_keys", sum.cleaned);
    info_number(b, "tier_clean_batches", sum.clean_batches);
    info_number(b, "tier_clean_bytes", sum.clean_bytes);
    info_number(b, "tier_clean_errors", sum.clean_errors);
    info_number(b, "tier_batches_waiting_for_log", sum.batches_waiting);
    compression(c, &sum, b);
    info_number(b, "tier_store_bytes", store.bytes_on_disk);
    info_number(b, "tier_store_memory", store.memory_bytes);
    info_number(b, "tier_store_memory_limit", s->config->tier_memory);
    flash(c, b);
    info_number(b, "tier_store_pending_compaction_bytes", store.pending_compaction_bytes);
    info_number(b, "tier_store_writes_stopped", store.stopped);
}
