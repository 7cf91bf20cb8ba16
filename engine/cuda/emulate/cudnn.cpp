// A cuDNN that computes on the host, just enough of it for attention: it keeps the descriptors that it is given,
// refuses what cuDNN refuses (parts that are not finalised, attributes that are missing), and runs a graph
// operation by operation in f64, rounding what is bf16. It counts what is not discarded, and can be told to
// compute wrongly.
//     c++ -std=c++17 -O2 -shared -fPIC -o libcudnn.so.9 cudnn.cpp
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <vector>

namespace {

typedef int Status;
const Status OK = 0, BAD = 2000, NOT_FINAL = 2002, NOT_SUPPORTED = 3000, FAILED = 5000;
enum Kind { POINTWISE = 0, ENGINE = 2, CONFIG = 3, HEURISTICS = 4, PLAN = 5, SETTING = 7, OP_POINTWISE = 13, GRAPH = 15,
            PACK = 16, TENSOR = 17, MATMUL = 18, OP_MATMUL = 19, REDUCTION = 21, OP_REDUCTION = 22, OP_RESHAPE = 31 };
enum Fault { NONE, WRONG_VALUES, NO_MASK, LAST_CONTEXT, REFUSES, NO_KERNEL, UNSTEADY, LAST_KEY, MASSES, ALL_KEYS };

struct Descriptor {
    int kind;
    bool final = false;
    std::map<int, std::vector<char>> plain;
    std::map<int, std::vector<std::shared_ptr<Descriptor>>> others;
    bool usable = true;  // of a configuration

    bool has(int name) const { return plain.count(name) || others.count(name); }
    template <class T>
    T one(int name, size_t i = 0) const { return ((const T*)plain.at(name).data())[i]; }
    template <class T>
    size_t count(int name) const { return plain.count(name) ? plain.at(name).size() / sizeof(T) : 0; }
    Descriptor* part(int name, size_t i = 0) const { return others.at(name)[i].get(); }
};

std::map<void*, std::shared_ptr<Descriptor>> alive;
int handles = 0;
size_t the_version = 92801;
int fault = NONE;
unsigned jitter = 0;
int runs = 0;

size_t width(int type) {
    switch (type) {
        case 0: case 3: case 5: case 6: return 8;  // handle, int64, double, pointer
        case 2: case 24: return 1;                 // bool, char
        default: return 4;
    }
}

const std::map<int, std::vector<int>> needed = {
    {POINTWISE, {0, 1}}, {ENGINE, {1300, 1301}}, {CONFIG, {300}}, {HEURISTICS, {200, 201}}, {PLAN, {401}},
    {SETTING, {600, 601}}, {OP_POINTWISE, {750, 751, 753}}, {GRAPH, {801}}, {PACK, {1000, 1001, 1003}},
    {TENSOR, {900, 901, 902, 903, 906}}, {MATMUL, {1500}}, {OP_MATMUL, {1520, 1521, 1522, 1523}},
    {REDUCTION, {1600, 1601}}, {OP_REDUCTION, {1610, 1611, 1612}}, {OP_RESHAPE, {2200, 2201}}};

float from_bf16(uint16_t x) {
    uint32_t bits = (uint32_t)x << 16;
    float y;
    return memcpy(&y, &bits, 4), y;
}

uint16_t to_bf16(double x) {
    float y = (float)x;
    uint32_t bits;
    memcpy(&bits, &y, 4);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// A tensor of four dimensions and its numbers, in the order of the dimensions.
struct Values {
    int64_t dims[4], strides[4];
    std::vector<double> x;

    explicit Values(const Descriptor* of) {
        for (int d = 0; d < 4; d++) dims[d] = of->one<int64_t>(902, d), strides[d] = of->one<int64_t>(903, d);
        x.assign(size(), NAN);
    }
    size_t size() const { return dims[0] * dims[1] * dims[2] * dims[3]; }
    void at(size_t i, int64_t (&place)[4]) const {
        for (int d = 3; d >= 0; d--) place[d] = i % dims[d], i /= dims[d];
    }
    size_t offset(size_t i) const {
        int64_t place[4];
        at(i, place);
        int64_t sum = 0;
        for (int d = 0; d < 4; d++) sum += place[d] * strides[d];
        return sum;
    }
    // The element for a place in a tensor of other dimensions: fewer of one are shared out among more.
    double for_place(const int64_t (&place)[4], const int64_t (&of)[4]) const {
        size_t i = 0;
        for (int d = 0; d < 4; d++) i = i * dims[d] + place[d] * dims[d] / of[d];
        return x[i];
    }
};

struct Run {
    std::map<int64_t, void*> memory;
    std::map<const Descriptor*, Values> made;

    Values& get(const Descriptor* t) {
        auto found = made.find(t);
        if (found != made.end()) return found->second;
        Values& v = made.emplace(t, Values(t)).first->second;
        void* at = memory[t->one<int64_t>(906)];
        for (size_t i = 0; i < v.x.size(); i++)
            v.x[i] = t->has(908)               ? *(float*)at
                     : t->one<int>(901) == 9   ? from_bf16(((uint16_t*)at)[v.offset(i)])
                                               : ((float*)at)[v.offset(i)];
        return v;
    }

    void put(const Descriptor* t, Values v) {
        if (t->one<int>(901) == 9)
            for (double& x : v.x) x = from_bf16(to_bf16(x));
        if (!t->has(907)) {
            int64_t uid = t->one<int64_t>(906);
            void* at = memory[uid];
            for (size_t i = 0; i < v.x.size(); i++) {
                double x = v.x[i];
                int64_t place[4];
                v.at(i, place);
                bool last = place[0] == v.dims[0] - 1 && place[2] == v.dims[2] - 1;
                if (fault == WRONG_VALUES && uid == 9) x *= 1.1;
                if (fault == LAST_CONTEXT && uid == 4 && last) x = 0;
                if ((fault == LAST_KEY && uid == 8 && last) || (fault == ALL_KEYS && uid == 8)) x = 0;
                if (fault == MASSES && uid == 5) x *= 1.4427;
                if (t->one<int>(901) == 9) ((uint16_t*)at)[v.offset(i)] = to_bf16(x);
                else ((float*)at)[v.offset(i)] = (float)x;
            }
        }
        made.erase(t);
        made.emplace(t, std::move(v));
    }

    Status pointwise(const Descriptor* op) {
        const Descriptor* how = op->part(750);
        int mode = how->one<int>(0);
        const Values& x = get(op->part(751));
        Values y(op->part(753));
        for (size_t i = 0; i < y.x.size(); i++) {
            int64_t place[4];
            y.at(i, place);
            double a = x.for_place(place, y.dims);
            double b = op->has(752) ? get(op->part(752)).for_place(place, y.dims) : 0;
            switch (mode) {
                case 0: y.x[i] = a + b; break;
                case 1: y.x[i] = a * b; break;
                case 6: y.x[i] = a / b; break;
                case 9: y.x[i] = a - b; break;
                case 13: y.x[i] = exp(a); break;
                case 15: y.x[i] = log(a); break;
                case 21: y.x[i] = a; break;
                case 303: y.x[i] = a >= b; break;
                case 501: y.x[i] = (double)place[how->one<int64_t>(9)]; break;
                case 601: y.x[i] = fault == NO_MASK || get(op->part(758)).for_place(place, y.dims) != 0 ? a : b; break;
                default: return NOT_SUPPORTED;
            }
        }
        put(op->part(753), std::move(y));
        return OK;
    }

    Status matmul(const Descriptor* op, bool ordered) {
        const Values &a = get(op->part(1520)), &b = get(op->part(1521));
        Values c(op->part(1522));
        if (a.dims[3] != b.dims[2] || c.dims[2] != a.dims[2] || c.dims[3] != b.dims[3]) return BAD;
        bool sums = !op->part(1522)->has(907) && op->part(1522)->one<int64_t>(906) == 11;
        for (size_t i = 0; i < c.x.size(); i++) {
            int64_t place[4];
            c.at(i, place);
            auto start = [&](const Values& m) {
                return ((size_t)place[0] * m.dims[1] + place[1] * m.dims[1] / c.dims[1]) * m.dims[2] * m.dims[3];
            };
            const double *p = &a.x[start(a) + place[2] * a.dims[3]], *q = &b.x[start(b) + place[3]];
            double sum = 0;
            for (int64_t l = 0; l < a.dims[3]; l++) sum += p[l] * q[l * b.dims[3]];
            if (sums && !ordered) sum *= 1 + 1e-3 * (++jitter % 7);
            if (fault == UNSTEADY && op->part(1522)->one<int64_t>(906) == 4) sum *= 1 + 1e-3 * (++jitter % 7);
            c.x[i] = sum;
        }
        put(op->part(1522), std::move(c));
        return OK;
    }

    void reduce(const Descriptor* op) {
        bool top = op->part(1612)->one<int>(1600) == 3;
        const Values& x = get(op->part(1610));
        Values y(op->part(1611));
        for (double& sum : y.x) sum = top ? -INFINITY : 0;
        for (size_t i = 0; i < x.x.size(); i++) {
            int64_t place[4];
            x.at(i, place);
            size_t at = 0;
            for (int d = 0; d < 4; d++) at = at * y.dims[d] + place[d] * y.dims[d] / x.dims[d];
            y.x[at] = top ? std::fmax(y.x[at], x.x[i]) : y.x[at] + x.x[i];
        }
        put(op->part(1611), std::move(y));
    }

    void reshape(const Descriptor* op) {
        const Values& x = get(op->part(2200));
        Values y(op->part(2201));
        std::map<size_t, double> by_offset;
        for (size_t i = 0; i < x.x.size(); i++) by_offset[x.offset(i)] = x.x[i];
        for (size_t i = 0; i < y.x.size(); i++) y.x[i] = by_offset.at(y.offset(i));
        put(op->part(2201), std::move(y));
    }
};

Status run(const Descriptor* plan, const Descriptor* pack) {
    const Descriptor* config = plan->part(401);
    bool ordered = config->has(302);
    Run run;
    for (size_t i = 0; i < pack->count<int64_t>(1000); i++)
        run.memory[pack->one<int64_t>(1000, i)] = pack->one<void*>(1001, i);
    for (auto& [uid, at] : run.memory)
        if (!at || (uid < 100 && (uintptr_t)at % 16)) return BAD;
    memset(pack->one<void*>(1003), 0xff, 64);
    const Descriptor* graph = config->part(300)->part(1300);
    for (auto& op : graph->others.at(801)) {
        Status status = OK;
        if (op->kind == OP_POINTWISE) status = run.pointwise(op.get());
        else if (op->kind == OP_MATMUL) status = run.matmul(op.get(), ordered);
        else if (op->kind == OP_REDUCTION) run.reduce(op.get());
        else if (op->kind == OP_RESHAPE) run.reshape(op.get());
        else return BAD;
        if (status != OK) return status;
    }
    return OK;
}

}  // namespace

extern "C" {
// For the tests: 0 sets the version, 1 the fault; 2 tells what is alive, 3 how often a plan ran.
int64_t woolshed_cudnn(int what, int64_t value) {
    if (what == 0) the_version = value;
    if (what == 1) fault = (int)value;
    return what == 2 ? (int64_t)alive.size() + handles : what == 3 ? runs : 0;
}

size_t cudnnGetVersion() { return the_version; }
const char* cudnnGetErrorString(Status status) {
    return status == BAD ? "BAD_PARAM" : status == NOT_FINAL ? "NOT_FINALIZED" : status == NOT_SUPPORTED ? "NOT_SUPPORTED" : "FAILED";
}
void cudnnGetLastErrorString(char* text, size_t room) { snprintf(text, room, "made up"); }
Status cudnnCreate(void** handle) { return handles++, *handle = (void*)16, OK; }
Status cudnnDestroy(void*) { return handles--, OK; }
Status cudnnSetStream(void*, void*) { return OK; }

Status cudnnBackendCreateDescriptor(int kind, void** at) {
    auto made = std::make_shared<Descriptor>();
    made->kind = kind;
    alive[made.get()] = made;
    return *at = made.get(), OK;
}
Status cudnnBackendDestroyDescriptor(void* at) { return alive.erase(at) ? OK : BAD; }
Status cudnnBackendSetAttribute(void* at, int name, int type, int64_t n, const void* values) {
    auto found = alive.find(at);
    if (found == alive.end() || found->second->final || n < 1) return BAD;
    if (type != 15) {
        found->second->plain[name].assign((const char*)values, (const char*)values + n * width(type));
        return OK;
    }
    for (int64_t i = 0; i < n; i++) {
        auto other = alive.find(((void**)values)[i]);
        if (other == alive.end()) return BAD;
        // An engine goes into a configuration, and a description of one device nowhere here.
        if (!other->second->final) return NOT_FINAL;
        found->second->others[name].push_back(other->second);
    }
    return OK;
}
Status cudnnBackendFinalize(void* at) {
    auto found = alive.find(at);
    if (found == alive.end() || !needed.count(found->second->kind)) return BAD;
    Descriptor& d = *found->second;
    for (int name : needed.at(d.kind))
        if (!d.has(name)) return BAD;
    if (d.kind == GRAPH) {
        std::set<int64_t> names;
        for (auto& op : d.others[801])
            if (op->kind != OP_POINTWISE && op->kind != OP_MATMUL && op->kind != OP_REDUCTION && op->kind != OP_RESHAPE) return BAD;
    }
    if (d.kind == CONFIG && d.has(302) && the_version < 92500) return NOT_SUPPORTED;
    if (d.kind == PLAN && !d.part(401)->usable) return NOT_SUPPORTED;
    d.final = true;
    return OK;
}
Status cudnnBackendGetAttribute(void* at, int name, int, int64_t room, int64_t* n, void* values) {
    auto found = alive.find(at);
    if (found == alive.end() || !found->second->final) return NOT_FINAL;
    Descriptor& d = *found->second;
    if (d.kind == PLAN && name == 402) return *n = 1, *(int64_t*)values = 64, OK;
    if (d.kind != HEURISTICS || name != 202) return BAD;
    // More are announced than come, and the first of them cannot be made.
    if (fault == NO_KERNEL) return *n = 0, OK;
    if (room == 0) return *n = 3, OK;
    *n = 0;
    for (int64_t i = 0; i < room && i < 2; i++) {
        Descriptor& config = *alive.at(((void**)values)[i]);
        auto engine = std::make_shared<Descriptor>();
        engine->kind = ENGINE, engine->final = true;
        engine->others[1300] = d.others[201];
        config.others[300] = {engine};
        config.final = true, config.usable = i == 1;
        ++*n;
    }
    return OK;
}
Status cudnnBackendExecute(void*, void* plan, void* pack) {
    auto p = alive.find(plan), q = alive.find(pack);
    if (p == alive.end() || q == alive.end() || !p->second->final || !q->second->final) return NOT_FINAL;
    runs++;
    return fault == REFUSES ? FAILED : run(p->second.get(), q->second.get());
}
}
