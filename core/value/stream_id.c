#include "core/value/stream_id.h"

#include "core/base/num.h"

bool stream_id_next(struct stream_id *id)
{
    if (id->seq == UINT64_MAX && id->ms == UINT64_MAX)
        return false;
    if (++id->seq == 0)
        id->ms++;
    return true;
}

bool stream_id_prev(struct stream_id *id)
{
    if (stream_id_zero(*id))
        return false;
    if (id->seq-- == 0)
        id->ms--;
    return true;
}

size_t stream_id_format(char out[static STREAM_ID_TEXT], struct stream_id id)
{
    size_t len = num_format_u64(out, id.ms);
    out[len++] = '-';
    return len + num_format_u64(out + len, id.seq);
}

static bool parse_part(struct slice s, uint64_t *out)
{
    while (s.len > 1 && s.p[0] == '0')
        s = slice_of(s.p + 1, s.len - 1);
    return num_parse_u64(s, out);
}

bool stream_id_parse(struct slice text, uint64_t seq, struct stream_id *out)
{
    const uint8_t *dash = text.len > 0 ? memchr(text.p, '-', text.len) : NULL;
    out->seq = seq;
    if (dash == NULL)
        return parse_part(text, &out->ms);
    size_t at = (size_t)(dash - text.p);
    return parse_part(slice_of(text.p, at), &out->ms) && parse_part(slice_of(dash + 1, text.len - at - 1), &out->seq);
}

bool stream_id_parse_open(struct slice text, struct stream_id *out, bool *any_seq)
{
    *any_seq = text.len > 2 && text.p[text.len - 2] == '-' && text.p[text.len - 1] == '*';
    return stream_id_parse(*any_seq ? slice_of(text.p, text.len - 2) : text, 0, out) &&
           (!*any_seq || memchr(text.p, '-', text.len - 2) == NULL);
}
